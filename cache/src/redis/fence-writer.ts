import { randomUUID } from 'node:crypto'
import { epochStart, redisKeys, type RedisKeys } from '@lockstep/schemas'
import type { Redis } from 'ioredis'
import { planAdvance } from '../advance-plan.ts'
import {
  BUS_MAX_ENTRIES,
  DEFAULT_SHORT_FENCE_MS,
  type AdvanceBatch,
  type AdvanceReply,
  type FenceWriter,
  type OpenReply,
  type OpenRequest,
} from '../fence-writer.ts'
import { call, runOne, timeOf } from './pipeline.ts'
import { namesOf } from './invalidations.ts'
import { ADVANCE, OPEN } from './scripts.ts'

/** What a fence writer needs. */
export interface FenceWriterOptions {
  readonly redis: Redis
  readonly namespace: string
  /** Least life of a fence, ms; above `MAX_LEASE_MS`. Default 30,000. */
  readonly shortFenceMs?: number | undefined
  /** Names incarnations and bus entries; must never repeat. Default random. */
  readonly nonce?: (() => string) | undefined
  /** Longest bus, approximately. */
  readonly busMaxEntries?: number | undefined
}

class RedisFenceWriter implements FenceWriter {
  readonly #redis: Redis
  readonly #keys: RedisKeys
  readonly #shortFenceMs: number
  readonly #nonce: () => string
  readonly #busMaxEntries: number

  constructor(options: FenceWriterOptions) {
    this.#redis = options.redis
    this.#keys = redisKeys(options.namespace)
    this.#shortFenceMs = options.shortFenceMs ?? DEFAULT_SHORT_FENCE_MS
    this.#nonce = options.nonce ?? randomUUID
    this.#busMaxEntries = options.busMaxEntries ?? BUS_MAX_ENTRIES
  }

  async advance(batch: AdvanceBatch): Promise<AdvanceReply> {
    const { greatest, raises, plain } = planAdvance(batch)
    const { lsn, told } = wordsOf(batch.watermark)
    const args = [
      batch.partition,
      batch.from.toString(),
      batch.to.toString(),
      this.#nonce(),
      JSON.stringify(batch.fences),
      greatest,
      ...told,
      this.#busMaxEntries,
      this.#shortFenceMs,
      lsn,
      raises.size,
      ...[...raises].flat(),
      ...plain.values(),
    ]
    const names = [this.#keys.watermark, this.#keys.bus, ...namesOf(this.#keys, [...plain.keys()])]
    const reply = await runOne(this.#redis, call(ADVANCE, names, args))
    const [kind, detail = '', newer = ''] = reply as [AdvanceReply['kind'], string?, string?]
    if (kind === 'applied') return { kind, busId: detail, ...(newer === '' ? {} : { outdatedBy: Number(newer) }) }
    return kind === 'stands' ? { kind, offset: BigInt(detail) } : { kind }
  }

  async open(flush: OpenRequest): Promise<OpenReply> {
    const { generation, partition, next, partitions, isRepeated = false } = flush
    const args = [
      generation,
      partition,
      next.toString(),
      partitions,
      this.#nonce(),
      epochStart(generation),
      this.#busMaxEntries,
      isRepeated ? 1 : 0,
    ]
    const reply = await runOne(this.#redis, call(OPEN, [this.#keys.watermark, this.#keys.bus], args))
    const [kind, busId = '', newer = 0] = reply as [OpenReply['kind'], string?, number?]
    if (kind === 'absent') return { kind }
    return kind === 'older' ? { kind, busId, generation: newer } : { kind, busId }
  }

  async redisTimeUs(): Promise<bigint> {
    return timeOf(await runOne(this.#redis, ['time']))
  }
}

/** The watermark of a batch as ADVANCE takes it. */
function wordsOf(watermark: AdvanceBatch['watermark']): { lsn: string; told: (string | number)[] } {
  if (!watermark) return { lsn: '', told: ['', '', ''] }
  return { lsn: watermark.lsn ?? '', told: [watermark.stamp, watermark.echo, watermark.partitions] }
}

/** Creates the writer's half of the fence protocol over a Redis ≥ 7 client, which stays the caller's. */
export function createFenceWriter(options: FenceWriterOptions): FenceWriter {
  return new RedisFenceWriter(options)
}
