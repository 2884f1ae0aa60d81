import { createRandom } from '@lockstep/runtime'
import { once } from 'node:events'
import { startKafka, startPostgres, type KafkaServer, type PostgresServer } from '@lockstep/servers'
import { waitFor } from '@lockstep/connector/testing'
import { afterAll, beforeAll, expect } from 'vitest'
import type { TestProcess } from '../process.ts'
import { createItems, ItemWriter, judge, type Verdict } from './items.ts'
import { connect, connectorProcess, endOfWal, Files, LogReader, MAJORS, SEED, type World } from './rig.ts'

const START_MS = 30_000
const SETTLE_MS = 60_000
// Of the kills: while it starts, right after it says so, somewhere in the stream.
const STARTUP_MS = 900
const STREAM_MS = 300

type Major = (typeof MAJORS)[number]

/** A broker and a server of each version for the tests of one file; answers what makes a database on one of them. */
export function killedServers(): (major: Major, name: string) => Promise<World> {
  let kafka: KafkaServer
  let servers: Readonly<Record<Major, PostgresServer>> | undefined
  let files: Files | undefined
  beforeAll(async () => {
    files = new Files()
    const [broker, ...postgres] = await Promise.all([
      startKafka({ needs: 'process' }),
      ...MAJORS.map((major) => startPostgres({ major, needs: 'process' })),
    ])
    kafka = broker
    servers = { 15: postgres[0] as PostgresServer, 18: postgres[1] as PostgresServer }
  })
  afterAll(async () => {
    await kafka?.stop()
    await Promise.all(Object.values(servers ?? {}).map((server) => server.stop()))
    files?.remove()
  })
  return async (major, name) => {
    if (servers === undefined || files === undefined) throw new Error('the servers were not started')
    const server = servers[major]
    await (await connect(server.url)).query(`create database ${name}`)
    const databaseUrl = Object.assign(new URL(server.url), { pathname: `/${name}` }).href
    await createItems(await connect(databaseUrl))
    return { files, databaseUrl, kafka, namespace: `${name}-${major}`, slot: name }
  }
}

/** Kills at one of the points that matter; answers whether the stream was open by then. */
async function killSomewhere(connector: TestProcess, isInStartup: boolean, random: () => number): Promise<boolean> {
  const exited = once(connector.start().child, 'exit')
  const said = connector.output.length
  const isOpen = () => connector.output.slice(said).includes('"started"')
  const after = performance.now() + random() * STARTUP_MS
  if (isInStartup) await waitFor(() => performance.now() >= after, START_MS)
  else await connector.says('"started"', START_MS, said)
  const until = performance.now() + (isInStartup ? 0 : random() * STREAM_MS)
  await waitFor(() => performance.now() >= until, START_MS)
  const wasOpen = isOpen()
  connector.kill9()
  await exited
  return wasOpen
}

/** What the log holds after the kills, against what was committed. */
interface Outcome {
  readonly verdict: Verdict
  readonly killedInStream: number
  readonly generations: number
}

/** Kills a connector again and again under writes, starts it a last time, and judges the log once it is complete. */
export async function outcome(world: World, connector: TestProcess, kills: number): Promise<Outcome> {
  const random = createRandom(SEED)
  // The first flush covers what was before the slot.
  await connector.start().says('"started"', START_MS)
  const reader = await LogReader.open(world)
  const writers = await Promise.all(
    [0, 1].map(
      async (index) => new ItemWriter(await connect(world.databaseUrl), random, { first: index * 100, count: 40 }),
    ),
  )
  const writing = writers.map((writer) => writer.run(20))
  let killedInStream = 0
  connector.kill9()
  for (let kill = 1; kill < kills; kill++)
    if (await killSomewhere(connector, kill % 3 === 0, random)) killedInStream += 1
  connector.start()
  // However slow the machine: what survives no kill is not to be taken for what was never delivered.
  await waitFor(() => reader.received.some(({ event }) => event.kind === 'change'), SETTLE_MS)
  for (const writer of writers) writer.stop()
  await Promise.all(writing)
  await reader.reaches(await endOfWal(await connect(world.databaseUrl)), SETTLE_MS)
  const verdict = judge(
    reader.received,
    writers.flatMap(({ committed }) => committed),
  )
  return { verdict, killedInStream, generations: reader.generations().length }
}

/** The law: however often the connector is killed, the log holds what was committed, and nothing else. */
export async function expectLossless(world: World, kills: number): Promise<void> {
  const found = await outcome(world, (await connectorProcess(world)).process, kills)
  const { delivered, repeated } = found.verdict
  console.log(
    JSON.stringify({
      law: 'kill9',
      on: world.namespace,
      seed: SEED,
      kills,
      delivered,
      repeated,
      ...found,
      verdict: '',
    }),
  )
  expect(found).toMatchObject({ verdict: { lost: [], invented: [], late: [] }, generations: 1 })
  expect(found.killedInStream).toBeGreaterThan(kills / 3)
  expect(delivered).toBeGreaterThan(kills * 10)
}
