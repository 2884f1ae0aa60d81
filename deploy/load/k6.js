// An open-loop load on the shop: `k6 run -e BASE=http://127.0.0.1:8080 -e WRITES=http://127.0.0.1:3000 deploy/load/k6.js`.
// Arrival rates, not users: what is slow does not slow what comes after it. Freshness is judged by docker/load.ts, not here.
import { check } from 'k6'
import http from 'k6/http'

const BASE = __ENV.BASE || 'http://127.0.0.1:8080'
const WRITES = __ENV.WRITES || 'http://127.0.0.1:3000'
const READS_PER_SECOND = Number(__ENV.READS || 1000)
const WRITES_PER_SECOND = Number(__ENV.COMMITS || 50)
const PRODUCTS = Number(__ENV.PRODUCTS || 1000)
const DURATION = __ENV.DURATION || '30s'
// Until caches are filled and hot paths compiled; not judged.
const WARM_UP = __ENV.WARM_UP || '15s'

// Enough users that none has to be made while requests are due.
const users = (rate) => ({ preAllocatedVUs: Math.ceil(rate / 4), maxVUs: rate })

const warming = (exec, rate) => ({
  executor: 'ramping-arrival-rate',
  exec,
  startRate: Math.ceil(rate / 10),
  timeUnit: '1s',
  stages: [{ target: rate, duration: WARM_UP }],
  ...users(rate),
})

const arrivals = (exec, rate) => ({
  executor: 'constant-arrival-rate',
  exec,
  rate,
  timeUnit: '1s',
  startTime: WARM_UP,
  duration: DURATION,
  ...users(rate),
})

export const options = {
  scenarios: {
    'warm-reads': warming('read', READS_PER_SECOND),
    'warm-writes': warming('write', WRITES_PER_SECOND),
    reads: arrivals('read', READS_PER_SECOND),
    writes: arrivals('write', WRITES_PER_SECOND),
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    'http_req_duration{scenario:reads}': ['p(99)<250'],
    'dropped_iterations{scenario:reads}': ['count==0'],
    'dropped_iterations{scenario:writes}': ['count==0'],
  },
}

// A few products get most of the reads, as in the demo.
const popular = () => 1 + Math.floor(PRODUCTS ** Math.random() - 1)

export function read() {
  const response = http.get(`${BASE}/products/${popular()}`, { tags: { name: '/products/:id' } })
  check(response, { 'is answered': ({ status }) => status === 200 })
}

export function write() {
  const body = JSON.stringify({ priceCents: 100 + Math.floor(Math.random() * 99_900) })
  const params = { headers: { 'content-type': 'application/json' }, tags: { name: 'PUT /products/:id' } }
  const response = http.put(`${WRITES}/products/${1 + Math.floor(Math.random() * PRODUCTS)}`, body, params)
  check(response, { 'is written': ({ status }) => status === 200 })
}
