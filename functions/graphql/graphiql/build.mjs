// Makes graphiql.html.gz, the GraphiQL page that the GraphQL function serves: one HTML file that needs nothing from
// elsewhere, its scripts, styles and fonts inside it. The file is committed, so that building OMS needs no Node.js; run
// this only to change the page or the versions below, with Node.js 18 or newer, npm, tar and gzip:
//
//     node functions/graphql/graphiql/build.mjs
//
// The same versions make the same page. GraphiQL 4 and React 18 are the last to ship bundles that run without a bundler.
// The page sends its queries to its own address, and its content security policy lets it reach nothing else. See
// LICENSES.md for what is inside; a new version may need new notices there.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGES = {
  graphiql: ['4.1.2', 'sha512-rNlzQIAzm6i2KBXmVQWBgLvt0TloxFVB2d18bukvdsvjEuFDHsKx5IVOomL1W1o5WW+tE54+ioHb2AEKzO2cUg=='],
  react: ['18.3.1', 'sha512-wS+hAgJShR0KhEvPJArfuPVN1+Hz1t0Y6n5jLrGQbkb4urgPE/0Rve+1kMB1v/oWgHgm4WIcV+i7F2pTVj+2iQ=='],
  'react-dom': ['18.3.1', 'sha512-5m4nQKp+rZRb09LNH59GM4BxTh9251/ylbKIbpe7TpGxfJ+9kv6BLkLBXIjjspbgbnIBNqlI23tRnTWT0snUIw=='],
};

// Runs in the page, after React, ReactDOM and GraphiQL.
function start() {
  const { createElement, useCallback, useRef, useState } = React;
  const PLACEHOLDER = '<token from cargo xtask token>';
  const HEADERS = JSON.stringify({ Authorization: `Bearer ${PLACEHOLDER}` }, null, 2);
  const QUERY = `# Put a token into "Headers" below:
#     cargo xtask token
# It stays in this browser until you clear it in
# the settings, at the bottom left. The book at the
# top left is the documentation of the schema.

{
  objectTypes(pagination: {first: 10}) {
    nodes {
      id
      name
      displayName
    }
  }
}
`;

  const parsed = (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  };

  // GraphiQL would forget at each load that the user switched this off.
  const persist = localStorage.getItem('graphiql:shouldPersistHeaders') !== 'false';
  // It keeps the headers twice, and loses one of the two while it loads: the next load would then not find the tab that
  // they belong to and open another one. So that one is put back, from the tab.
  const state = parsed(localStorage.getItem('graphiql:tabState'));
  const stored = persist && state?.tabs?.[state.activeTabIndex]?.headers;
  if (stored) localStorage.setItem('graphiql:headers', stored);

  // GraphiQL fetches the schema again whenever it gets another fetcher, so there is one for each text of the headers.
  // It asks for the schema before its headers editor is there, and then gives no headers: they are from that text.
  const fetcherOf = (text) => async (params, options) => {
    const headers = Object.entries(options?.headers ?? parsed(text) ?? {});
    const response = await fetch(window.location.pathname, {
      method: 'POST',
      headers: {
        Accept: 'application/json, text/event-stream', // the second is for subscriptions only
        'Content-Type': 'application/json',
        ...Object.fromEntries(headers.filter(([, value]) => !String(value).includes(PLACEHOLDER))),
      },
      body: JSON.stringify(params),
    });
    if (response.headers.get('Content-Type') === 'text/event-stream') return resultsOf(response.body);
    const body = await response.text();
    return parsed(body) ?? { errors: [{ message: `HTTP ${response.status}: ${body}` }] };
  };

  // The results of a stream of events; what GraphiQL does to stop it closes the connection at once.
  const resultsOf = (body) => {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    async function* read() {
      let text = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        const blocks = (text + value).split('\n\n');
        text = blocks.pop();
        for (const block of blocks) {
          const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s, 2)));
          if (fields.event === 'complete') return;
          if (fields.event === 'next') yield JSON.parse(fields.data);
        }
      }
    }
    const results = read();
    const iterator = {
      [Symbol.asyncIterator]: () => iterator,
      next: () => results.next(),
      return: async () => {
        await reader.cancel();
        return results.return();
      },
    };
    return iterator;
  };

  function Page() {
    const [{ text, fetcher }, use] = useState(() => ({ text: stored || HEADERS, fetcher: fetcherOf(stored || HEADERS) }));
    const timer = useRef();
    const onEditHeaders = useCallback((edited) => {
      clearTimeout(timer.current);
      timer.current = setTimeout(() => {
        if (parsed(edited)) use((old) => (old.text === edited ? old : { text: edited, fetcher: fetcherOf(edited) }));
      }, 600);
    }, []);
    return createElement(GraphiQL, {
      fetcher,
      onEditHeaders,
      defaultHeaders: text, // a new tab has the token of the last one
      defaultQuery: QUERY,
      defaultEditorToolsVisibility: 'headers',
      shouldPersistHeaders: persist,
    });
  }

  ReactDOM.createRoot(document.getElementById('graphiql')).render(createElement(Page));
}

const here = fileURLToPath(new URL('.', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'graphiql-'));
try {
  for (const [name, [version, integrity]] of Object.entries(PACKAGES)) {
    const packed = execFileSync('npm', ['pack', '--json', '--silent', `${name}@${version}`], { cwd: work, encoding: 'utf8' });
    const archive = join(work, JSON.parse(packed)[0].filename);
    const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
    if (found !== integrity) throw new Error(`${name}@${version} is ${found}, not ${integrity}`);
    mkdirSync(join(work, name));
    execFileSync('tar', ['-xzf', archive, '-C', join(work, name), '--strip-components=1']);
  }

  const read = (path) => readFileSync(join(work, path), 'utf8').replace(/^\/[/*]# sourceMappingURL=.*$/gm, '').trim();
  // Text that would end the element it is in, or start a comment there, spelled so that it does not.
  const scripts = [
    read('react/umd/react.production.min.js'),
    read('react-dom/umd/react-dom.production.min.js'),
    read('graphiql/graphiql.min.js'),
    `(${start})();`,
  ].map((text) => text.replace(/<(?=\/script|!--)/gi, '<\\'));
  const styles = read('graphiql/graphiql.min.css');
  if (/<\/style/i.test(styles)) throw new Error('the styles would end their element');

  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const policy = [
    "default-src 'none'",
    `script-src ${scripts.map(hash).join(' ')}`,
    "style-src 'unsafe-inline'",
    'font-src data:',
    'img-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');

  const page = [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="referrer" content="no-referrer">',
    '<title>OMS GraphiQL</title>',
    '<link rel="icon" href="data:,">',
    `<style>${styles}</style>`,
    '<style>body { margin: 0 } #graphiql { height: 100vh; height: 100dvh }</style>',
    '</head>',
    '<body>',
    '<div id="graphiql"></div>',
    ...scripts.map((text) => `<script>${text}</script>`),
    '</body>',
    '</html>',
    '',
  ].join('\n');

  const packed = execFileSync('gzip', ['-9n'], { input: page, maxBuffer: 1 << 26 });
  writeFileSync(join(here, 'graphiql.html.gz'), packed);
  console.log(`graphiql.html.gz: ${packed.length} bytes, ${Buffer.byteLength(page)} unpacked`);
} finally {
  rmSync(work, { recursive: true });
}
