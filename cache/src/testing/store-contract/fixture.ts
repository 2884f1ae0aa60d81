import { clockOf, stampOf, type BusFence, type Stamp, type Tag } from '@lockstep/schemas'
import type { AdvanceBatch, FenceWriter } from '../../fence-writer.ts'
import type { CacheStore } from '../../store.ts'
import { encodeValue } from '../../value-format.ts'

/** One fresh, empty namespace as both halves of the protocol see it. */
export interface StoreFixture {
  readonly store: CacheStore
  readonly writer: FenceWriter
  /** Remaining life of a fence or lease, ms; −2 when there is none. */
  life(kind: 'fence' | 'lease', name: string): Promise<number>
  ack(processId: string): Promise<string | null>
  /** Makes the server refuse whatever needs memory, or accept again. */
  setFull(isFull: boolean): Promise<void>
  close(): Promise<void>
}

/** A stamp of generation 1 whose snapshot sees `n` transactions. */
export const stampAt = (n: number, generation = 1): Stamp =>
  stampOf(generation, clockOf({ xmin: BigInt(n), xmax: BigInt(n), xip: [] }))

export const TAG = 'product:1' as Tag
export const valueAt = (stamp: Stamp): string =>
  encodeValue({ stamp, expiresAtMs: 0, tags: [TAG], incarnations: ['any'], body: '{"ö":1}' })

export type Given = () => StoreFixture

/** Raises fences as the pipeline does, in a batch of a partition that nobody knows: it moves nothing else. */
export async function raise({ writer }: StoreFixture, fences: readonly BusFence[]): Promise<void> {
  await writer.advance({ partition: 99, from: 0n, to: 0n, fences })
}
export const invalidate = (fixture: StoreFixture, n: number): Promise<void> => raise(fixture, [[TAG, stampAt(n), 0]])
export const leaseAt = ({ store }: StoreFixture, n: number, holder = `h${n}`) =>
  store.fills.lease({ key: TAG, holder, stamp: stampAt(n), leaseMs: 10_000 })
export const fenceOf = async ({ store }: StoreFixture) => (await store.values.fences([TAG])).records[0]

export async function storeAt(fixture: StoreFixture, n: number): Promise<boolean> {
  const { lease } = await leaseAt(fixture, n)
  if (lease === null) return false
  return fixture.store.fills.store({ key: TAG, lease, value: valueAt(stampAt(n)), ttlMs: 60_000, fenceMs: 70_000 })
}

export const step = (from: bigint, to: bigint, rest: Partial<AdvanceBatch> = {}): AdvanceBatch => ({
  partition: 0,
  from,
  to,
  fences: [],
  ...rest,
})
export async function open({ writer }: StoreFixture, partition: number, next: bigint, generation = 1) {
  const reply = await writer.open({ generation, partition, next, partitions: 2 })
  if (reply.kind === 'absent') throw new Error('only a repeated flush opens nothing')
  return reply
}
