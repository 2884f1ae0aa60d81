import type { UnsafeSwitches } from '@lockstep/cache'
import type { Toxic } from '@lockstep/servers'
import { afterEach, describe, expect, test } from 'vitest'
import { KafkaRun } from '../pgbench/kafka.ts'
import { untilInStep } from '../pgbench/storm.ts'
import { expectNoHarm, FaultRun, type Fault, type Target } from '../redis-faults/fault-run.ts'
import { Links, SERVERS, type Linked } from './links.ts'

interface LinkTarget extends Target {
  readonly links: Links
}

/** Slow is slower than a command to Redis may take. */
const TOXICS: readonly Toxic[] = [
  { type: 'latency', latencyMs: 150 },
  { type: 'timeout' },
  { type: 'reset_peer' },
  { type: 'slicer', sliceBytes: 32 },
]
/** A broker, four services, two readers and the links share the machine, and while the pipeline is cut every read is the database's. */
const P99_MS = 2_000
const BLACK_HOLE: Toxic = { type: 'timeout' }

const suffers = (server: Linked, toxic: Toxic): Fault<LinkTarget> => ({
  name: `${server}: ${toxic.type}`,
  inject: async ({ links, ms }) => {
    await links.to(server).suffer(toxic)
    await new Promise((resolve) => setTimeout(resolve, ms))
    await links.to(server).heal()
  },
})

describe('itest/network, long', () => {
  let links: Links | undefined
  let run: KafkaRun | undefined
  afterEach(async () => {
    await run?.stop()
    await links?.stop()
    links = run = undefined
  })

  async function suffer(faults: readonly Fault<LinkTarget>[], unsafe: UnsafeSwitches = {}) {
    links = await Links.start()
    run = await KafkaRun.start({ major: 18, links, unsafe })
    const reports = await new FaultRun({ world: run.world, links }).suffer(faults)
    console.table(reports)
    return { reports, agreement: await untilInStep(run.world) }
  }

  test('a link to a server that is slow, silent, cut or sliced breaks no contract, and every layer agrees when it is healed', async () => {
    const faults = SERVERS.flatMap((server) => TOXICS.map((toxic) => suffers(server, toxic)))
    const { reports, agreement } = await suffer(faults)
    expect(reports).toHaveLength(faults.length)
    expectNoHarm(reports, P99_MS)
    expect(agreement.disagreements).toEqual([])
  })

  test('with a contract that nobody checks, reads are past it while Kafka, or Redis, is out of reach', async () => {
    const { reports } = await suffer([suffers('kafka', BLACK_HOLE), suffers('redis', BLACK_HOLE)], {
      ignoreFreshness: true,
    })
    for (const { stale } of reports) expect(stale).toBeGreaterThan(0)
  })
})
