// What the clients of OMS do, mixed: `cargo xtask load` runs it with k6. Iterations begin at a fixed rate whether or not earlier
// ones have been answered, and each is one request (after a lost race three), whose answer is looked into.
import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';

// RUN is part of the names that are made here, since several runs share a registry.
const { OMS, VIEWER, EDITOR, RUN, SUMMARY } = __ENV;
const RATE = Number(__ENV.RATE);
const SECONDS = Number(__ENV.SECONDS);
const P99_MS = Number(__ENV.P99_MS);

// Of 100 requests.
const MIX = [
  [22, 'get by id', getById],
  [20, 'get by name', getByName],
  [12, 'list', list],
  [12, 'search', search],
  [12, 'graphql', graphql],
  [10, 'validate', validate],
  [12, 'write', write],
];
const KINDS = ['get by id', 'get by name', 'list', 'search', 'graphql', 'validate', 'create', 'update', 'lost race', 'delete'];
const LIST_LIMIT = 50;
const GRAPHQL_LIMIT = 25;
const UPDATES = 4;

const thresholds = { checks: ['rate==1'], dropped_iterations: ['count==0'] };
for (const kind of KINDS) {
  thresholds[`http_req_duration{kind:${kind}}`] = [`p(99)<=${P99_MS}`];
  thresholds[`checks{kind:${kind}}`] = ['rate==1'];
}

// So many that a standstill twice as long as a late answer drops nothing.
const clients = Math.max(20, Math.ceil((RATE * 2 * P99_MS) / 1000));

export const options = {
  scenarios: {
    mix: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: `${SECONDS}s`,
      preAllocatedVUs: clients,
      maxVUs: clients,
      gracefulStop: '10s',
    },
  },
  thresholds,
  summaryTrendStats: ['count', 'med', 'p(99)', 'max'],
  // Time series are for a database of metrics that is not here, and k6 would keep each URL of its own.
  systemTags: ['status', 'scenario'],
};

const reader = { Authorization: `Bearer ${VIEWER}` };
const fullReader = { ...reader, 'X-API-Version': 'v2' };
const writer = { Authorization: `Bearer ${EDITOR}`, 'Content-Type': 'application/json' };
const patcher = { ...writer, 'Content-Type': 'application/merge-patch+json' };
const types = `${OMS}/api/v1/object-types`;

const oneOf = (things) => things[Math.floor(Math.random() * things.length)];
// k6's number for a connection that is refused.
const REFUSED = 1212;
let complained = false;

// Counts an answer as right or wrong; the first wrong one of a client is shown.
function judge(kind, response, right) {
  if (response.error_code === REFUSED) {
    exec.test.abort(`nobody listens at ${OMS}`);
  }
  const looked = (answer) => {
    try {
      return right(answer);
    } catch {
      return false; // It is not even of the form that was looked into.
    }
  };
  const done = check(response, { 'the answer is right': looked }, { kind });
  if (!done && !complained) {
    complained = true;
    console.error(`${kind}: ${response.status} ${response.error} ${String(response.body).slice(0, 500)}`);
  }
  return done;
}

function request(kind, method, url, body, headers) {
  return http.request(method, url, body === null ? null : JSON.stringify(body), { headers, tags: { kind } });
}

// The types of the ontology: `[id, name, a property that takes any text]`.
export function setup() {
  const found = [];
  let cursor = '';
  do {
    const page = http.get(`${types}?limit=200${cursor}`, { headers: fullReader });
    if (page.status !== 200) {
      exec.test.abort(`the types can't be listed: ${page.status} ${page.body}`);
    }
    const { data, page: { nextCursor } } = page.json();
    // Not what earlier runs left behind.
    for (const { id, name, properties } of data.filter(({ tags }) => !tags.includes('load'))) {
      const plain = properties.find((property) => property.dataType === 'STRING' && !property.validators?.length);
      found.push([id, name, plain?.name ?? null]);
    }
    cursor = nextCursor ? `&cursor=${encodeURIComponent(nextCursor)}` : '';
  } while (cursor);
  return found;
}

const total = MIX.reduce((sum, [weight]) => sum + weight, 0);

export default function (catalogue) {
  let drawn = Math.random() * total;
  const [, kind, act] = MIX.find(([weight]) => (drawn -= weight) < 0) ?? MIX[0];
  act(kind, catalogue);
}

function getById(kind, catalogue) {
  const [id, name] = oneOf(catalogue);
  const response = request(kind, 'GET', `${types}/${id}`, null, reader);
  judge(kind, response, (r) => r.status === 200 && r.json('name') === name);
}

// In full, and by the name in another case.
function getByName(kind, catalogue) {
  const [id, name] = oneOf(catalogue);
  const response = request(kind, 'GET', `${types}/${name.toLowerCase()}`, null, fullReader);
  judge(kind, response, (r) => r.status === 200 && r.json('id') === id && r.headers.Etag === `"${r.json('version')}"`);
}

let listCursor = null;

// A client walks through all pages, and begins again.
function list(kind) {
  const cursor = listCursor ? `&cursor=${encodeURIComponent(listCursor)}` : '';
  const response = request(kind, 'GET', `${types}?limit=${LIST_LIMIT}${cursor}`, null, reader);
  listCursor = null;
  judge(kind, response, (r) => {
    const next = r.status === 200 && r.json('page.nextCursor');
    listCursor = next || null;
    // Only the last page may be shorter.
    return r.status === 200 && (r.json('data.#') === LIST_LIMIT || !next);
  });
}

// For a whole name, or for the beginning of one as somebody types it.
function search(kind, catalogue) {
  const [, name] = oneOf(catalogue);
  const whole = Math.random() < 0.5;
  const text = whole ? name : name.slice(0, Math.max(2, Math.ceil(name.length * 0.6)));
  const url = `${OMS}/api/v1/search?kind=object_type&q=${encodeURIComponent(text)}`;
  const response = request(kind, 'GET', url, null, reader);
  judge(kind, response, (r) => {
    const names = r.status === 200 ? r.json('data.#.objectType.name') : [];
    return whole ? names.includes(name) : names.length > 0;
  });
}

const PAGE = `query Page($first: Int!, $after: String) {
  objectTypes(pagination: {first: $first, after: $after}) {
    nodes {
      id name displayName properties { name dataType }
      outgoingLinkTypes(pagination: {first: 10}) { nodes { name cardinality target { id name } } }
    }
    pageInfo { hasNextPage endCursor }
  }
}`;
let graphqlCursor = null;

function graphql(kind) {
  const body = { query: PAGE, variables: { first: GRAPHQL_LIMIT, after: graphqlCursor } };
  const response = request(kind, 'POST', `${OMS}/graphql`, body, { ...reader, 'Content-Type': 'application/json' });
  graphqlCursor = null;
  judge(kind, response, (r) => {
    if (r.status !== 200 || r.json('errors') !== undefined) {
      return false;
    }
    const { hasNextPage, endCursor } = r.json('data.objectTypes.pageInfo');
    graphqlCursor = hasNextPage ? endCursor : null;
    const links = r.json('data.objectTypes.nodes.#.outgoingLinkTypes.nodes.#.name').flat();
    const targets = r.json('data.objectTypes.nodes.#.outgoingLinkTypes.nodes.#.target.name').flat();
    return links.length === targets.length && (r.json('data.objectTypes.nodes.#') === GRAPHQL_LIMIT || !hasNextPage);
  });
}

// Every other instance has a property that its type lacks.
function validate(kind, catalogue) {
  const [id, , text] = oneOf(catalogue);
  const valid = Math.random() < 0.5;
  const instance = { ...(text && { [text]: 'any text' }), ...(!valid && { noSuchProperty: 1 }) };
  const response = request(kind, 'POST', `${types}/${id}/validate`, { instance }, { ...reader, 'Content-Type': 'application/json' });
  judge(kind, response, (r) => {
    const codes = r.status === 200 ? r.json('errors.#.code') : null;
    return codes !== null && r.json('valid') === valid && codes.join() === (valid ? '' : 'UNKNOWN_PROPERTY');
  });
}

// The type that this client has made: `{name, version}`.
let own = null;
let made = 0;

// A client makes a type of its own, changes it some times, deletes it and makes the next one.
function write(_, catalogue) {
  if (own === null) {
    create('create', catalogue);
  } else if (own.version > UPDATES) {
    remove('delete');
  } else if (own.version > 1 && Math.random() < 0.1) {
    loseRace('lost race');
  } else {
    update('update', own.version);
  }
}

function create(kind, catalogue) {
  made += 1;
  const name = `Load${RUN}_${exec.vu.idInTest}_${made}`;
  const body = {
    name,
    displayName: `Load ${made}`,
    description: 'Made by the load scenario, and soon deleted.',
    tags: ['load'],
    properties: [
      { name: 'email', dataType: 'STRING', required: true, validators: [{ type: 'pattern', value: '^[^@]+@[^@]+$' }] },
      { name: 'age', dataType: 'NUMBER', validators: [{ type: 'min', value: 0 }, { type: 'max', value: 150 }] },
      { name: 'since', dataType: 'DATE' },
      { name: 'active', dataType: 'BOOLEAN' },
      { name: 'about', dataType: 'REFERENCE', referenceTo: oneOf(catalogue)[1] },
    ],
  };
  const response = request(kind, 'POST', types, body, writer);
  if (judge(kind, response, (r) => r.status === 201 && r.json('name') === name && r.json('properties.#') === 5)) {
    own = { name, version: 1 };
  }
}

function update(kind, version) {
  const displayName = `Load ${made} ${Math.random()}`;
  const response = request(kind, 'PATCH', `${types}/${own.name}`, { displayName }, { ...patcher, 'If-Match': `"${version}"` });
  const right = (r) =>
    r.status === 200 && r.json('displayName') === displayName && r.headers.Etag === `"${version + 1}"`;
  if (judge(kind, response, right)) {
    own.version = version + 1;
  } else {
    own = null;
  }
}

// As if somebody else had been faster: what names an old version must be refused, and is tried again with what is read then.
function loseRace(kind) {
  const stale = { ...patcher, 'If-Match': `"${own.version - 1}"` };
  const refused = request(kind, 'PATCH', `${types}/${own.name}`, { displayName: 'Lost' }, stale);
  judge(kind, refused, (r) => r.status === 412 && r.json('code') === 'VERSION_CONFLICT');
  const current = request('get by name', 'GET', `${types}/${own.name}`, null, fullReader);
  if (judge('get by name', current, (r) => r.status === 200 && r.json('version') === own.version)) {
    update('update', current.json('version'));
  }
}

function remove(kind) {
  const headers = { ...writer, 'If-Match': `"${own.version}"` };
  const response = request(kind, 'DELETE', `${types}/${own.name}`, null, headers);
  judge(kind, response, (r) => r.status === 204);
  own = null;
}

export function handleSummary({ metrics }) {
  const kinds = KINDS.map((kind) => {
    const times = metrics[`http_req_duration{kind:${kind}}`]?.values ?? {};
    const errors = metrics[`checks{kind:${kind}}`]?.values.fails ?? 0;
    return { kind, count: times.count ?? 0, p50: times.med ?? 0, p99: times['p(99)'] ?? 0, max: times.max ?? 0, errors };
  });
  const dropped = metrics.dropped_iterations?.values.count ?? 0;
  return { [SUMMARY]: JSON.stringify({ dropped, kinds }) };
}
