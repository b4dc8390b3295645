// graphql-codegen makes a client, tsc checks the types of what calls it, and that runs.
import { execFileSync } from 'node:child_process';

for (const step of [
  ['node_modules/.bin/graphql-codegen-esm', '--config', 'codegen.yml'],
  ['node_modules/.bin/tsc'],
  ['generated/js/typed/client.js'],
]) {
  execFileSync(process.execPath, step, { cwd: new URL('.', import.meta.url), stdio: 'inherit' });
}
