import { createRandom } from '@lockstep/runtime'
import { parseRules } from '@lockstep/schemas'
import { waitFor } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { ItemWriter } from './items.ts'
import { MAJORS, SEED } from './rig.ts'
import { DEADLINE_MS, ownServer, Scene } from './scene.ts'

const MINIMUM = 40

describe.each(MAJORS)('itest/connector/ddl on PostgreSQL %s', (major) => {
  const server = ownServer(major)

  /** Runs statements one by one under writes; answers the writer, stopped and settled. */
  const under = async (scene: Scene, ...statements: readonly string[]): Promise<ItemWriter> => {
    const writer = new ItemWriter(await scene.source.connect(), createRandom(SEED), { first: 1, count: 50 })
    const writing = writer.run(2)
    const ddl = await scene.source.connect()
    for (const statement of [...statements, 'select 1']) {
      const enough = writer.committed.length + MINIMUM
      await waitFor(() => writer.committed.length >= enough, DEADLINE_MS)
      await ddl.query(statement)
    }
    writer.stop()
    await writing
    await scene.settled()
    return writer
  }

  test('columns without rules that come, go, are renamed or change their type lose and flush nothing', async () => {
    const scene = await Scene.open(server().url)
    await scene.start()
    const writer = await under(
      scene,
      'alter table items add column colour text default $$red$$',
      'alter table items rename column body to text',
      'alter table items drop column text',
      'alter table items alter colour type varchar(10)',
      'alter table items drop column colour',
    )
    expect(scene.judge(writer)).toMatchObject({ lost: [], invented: [], late: [] })
    expect(scene.log.changes().filter(({ op }) => op === 'unknown')).toEqual([])
    expect(scene.generations()).toHaveLength(1)
  })

  test('a rule column that changes its type, rewriting the table, loses nothing', async () => {
    const scene = await Scene.open(server().url)
    await scene.start()
    const writer = await under(
      scene,
      'alter table items alter version type numeric',
      'alter table items alter id type bigint',
    )
    expect(scene.judge(writer)).toMatchObject({ lost: [], invented: [], late: [] })
  })

  test('a rule column that vanishes turns every change into a fence of the class, with an alert, until it is back', async () => {
    const scene = await Scene.open(server().url)
    const warnings: object[] = []
    const quiet = () => undefined
    const logger = {
      debug: quiet,
      info: quiet,
      error: quiet,
      warn: (about: object) => warnings.push(about),
      child: () => logger,
    }
    await scene.start({ logger, rules: parseRules('tables:\n  public.items:\n    - tag: body:{body}\n') })
    await scene.source.query('alter table items rename column body to text')
    const before = scene.log.changes().length
    await scene.insert(1)
    await waitFor(() => scene.log.changes().length > before, DEADLINE_MS)
    expect(scene.log.changes().at(-1)).toMatchObject({ op: 'unknown', table: 'public.items', before: {}, after: {} })
    expect(warnings).toContainEqual(expect.objectContaining({ table: 'public.items', missing: ['body'] }))
    await scene.source.query('alter table items rename column text to body')
    await scene.source.query(`insert into items values (2, 0, 'back')`)
    await waitFor(() => scene.log.changes().some(({ after }) => after['body'] === 'back'), DEADLINE_MS)
  })

  test.each([
    ['at once', 0],
    ['after a while', 3_000],
  ])('a table that is renamed away and back %s: what was written meanwhile is covered', async (_when, awayMs) => {
    const scene = await Scene.open(server().url)
    const { generation } = (await scene.start()).status()
    await scene.source.query('alter table items rename to things')
    const back = performance.now() + awayMs
    await waitFor(() => performance.now() >= back, DEADLINE_MS)
    await scene.source.query('insert into things values (1, 0); alter table things rename to items')
    await scene.insert(2)
    await waitFor(() => scene.has(2), DEADLINE_MS)
    await scene.settled()
    const fenced = scene.log.changes().some(({ op, table }) => op === 'unknown' && table === 'public.items')
    expect(scene.has(1) || fenced || scene.generations().some((raised) => raised > generation)).toBe(true)
  })

  test('a new column that stays is no reason to flush', async () => {
    const scene = await Scene.open(server().url)
    await scene.start()
    await scene.source.query('alter table items add column colour text')
    // Longer than two looks at the publication.
    const later = performance.now() + 2_500
    await waitFor(() => performance.now() >= later, DEADLINE_MS)
    await scene.insert(1)
    await waitFor(() => scene.has(1), DEADLINE_MS)
    expect(scene.generations()).toHaveLength(1)
  })

  test('TRUNCATE CASCADE is one change of every table that it empties', async () => {
    const scene = await Scene.open(server().url)
    await scene.source.query(
      'create table parts (id int primary key, item int references items); alter table parts replica identity full',
    )
    const rules = 'tables:\n  public.items:\n    - tag: item:{id}\n  public.parts:\n    - tag: part:{id}\n'
    await scene.start({ rules: parseRules(rules) })
    await scene.source.query('insert into items values (1, 0); insert into parts values (1, 1)')
    await scene.source.query('truncate items restart identity cascade')
    await scene.settled()
    const truncates = scene.log.changes().filter(({ op }) => op === 'truncate')
    expect(truncates.map(({ table }) => table).toSorted()).toEqual(['public.items', 'public.parts'])
  })
})
