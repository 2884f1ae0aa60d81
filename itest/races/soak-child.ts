/** One process of the soak: reads rows at random through one library, and invalidates when it is told to. */
import { Redis } from 'ioredis'
import type { UnsafeSwitches } from '@lockstep/cache'
import { CONTENDERS } from './contenders/index.ts'

/** What the parent says in the first argument, as JSON. */
export interface SoakOrder {
  readonly contender: string
  readonly host: string
  readonly port: number
  readonly namespace: string
  readonly rows: number
  readonly groups: number
  readonly unsafe: UnsafeSwitches
}

/** What the parent asks over IPC; every request is answered once, in order. */
export type SoakRequest =
  | { readonly kind: 'invalidate'; readonly ids: readonly string[]; readonly tag: string | null }
  /** Many readers of one row that nobody has read yet. */
  | { readonly kind: 'stampede'; readonly id: string; readonly readers: number }
  | { readonly kind: 'read' }
  /** Ends reading, reads every row once more and reports. */
  | { readonly kind: 'report' }
  | { readonly kind: 'stop' }

/** One read: [row, version, began at], in ms since the Unix epoch. */
export type SoakRead = readonly [id: string, version: number, beganAt: number]

/** What a child answers. */
export type SoakReply =
  | { readonly kind: 'done'; readonly loads: number }
  | { readonly kind: 'report'; readonly reads: readonly SoakRead[]; readonly last: readonly SoakRead[] }

const READERS = 4
const LONGEST_LOAD_MS = 20
const LONGEST_PAUSE_MS = 2

const order = JSON.parse(process.argv[2] ?? '{}') as SoakOrder
const contender = CONTENDERS.find(({ name }) => name === order.contender)
if (!contender) throw new Error(`no contender ${order.contender}`)
const database = new Redis({ host: order.host, port: order.port })
const nowMs = (): number => performance.timeOrigin + performance.now()
const pause = (longestMs: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.random() * longestMs))

let loads = 0
const { host, port, namespace, unsafe, groups, rows } = order
const cache = await contender.open({
  host,
  port,
  namespace,
  unsafe,
  load: async (id) => {
    loads += 1
    const version = Number((await database.hget(`${namespace}-truth`, id)) ?? 1)
    await pause(LONGEST_LOAD_MS)
    return version
  },
  // The row of the stampede has none: it is about coalescing alone.
  tagsOf: (id) => (contender.hasTags && id !== 'stampede' ? [`g${Number(id.slice(1)) % groups}`] : []),
})
const reads: SoakRead[] = []
let isReading = false

async function read(id: string): Promise<SoakRead | null> {
  const beganAt = nowMs()
  // A load that an invalidation broke off is an error, and an error is never stale.
  const version = await cache.get(id).catch(() => null)
  return version === null ? null : [id, version, beganAt]
}

async function keepReading(): Promise<void> {
  while (isReading) {
    const done = await read(`r${Math.floor(Math.random() * rows)}`)
    if (done) reads.push(done)
    await pause(LONGEST_PAUSE_MS)
  }
}

async function report(): Promise<SoakReply> {
  isReading = false
  const last = await Promise.all(Array.from({ length: rows }, (_, row) => read(`r${row}`)))
  return { kind: 'report', reads, last: last.filter((done) => done !== null) }
}

async function answer(request: SoakRequest): Promise<SoakReply> {
  if (request.kind === 'report') return report()
  if (request.kind === 'invalidate') {
    if (request.tag === null) await cache.invalidate(request.ids)
    else await cache.invalidateTag?.(request.tag)
  } else if (request.kind === 'stampede') {
    loads = 0
    await Promise.all(Array.from({ length: request.readers }, () => cache.get(request.id)))
  } else if (request.kind === 'read') {
    isReading = true
    for (let reader = 0; reader < READERS; reader++) void keepReading()
  } else {
    await cache.close()
    database.disconnect()
  }
  return { kind: 'done', loads }
}

process.on('message', (request: SoakRequest) => {
  void answer(request).then((reply) => {
    process.send?.(reply)
    if (request.kind === 'stop') process.disconnect()
  })
})
process.send?.({ kind: 'done', loads } satisfies SoakReply)
