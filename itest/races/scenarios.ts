import { pollUntil } from '@lockstep/servers'
import type { Contender } from './contender.ts'
import { CONTRACT_MS } from './contenders/lockstep.ts'
import { Stage, type Actor, type StageOptions } from './stage.ts'

/** One race, played on one row: answers how many reads were wrong, and of how many. */
export interface Scenario {
  readonly name: string
  /** What goes wrong, in one sentence of the table. */
  readonly law: string
  isFor(contender: Contender): boolean
  play(stage: Stage, id: string): Promise<Score>
}

/** Reads that returned what they must not, of those that were judged. */
export interface Score {
  readonly wrong: number
  readonly judged: number
}

const TAG = 'group'

/** Where a read is held between what it reads and its answer. */
interface Gate {
  readonly reached: Promise<void>
  release(): void
}

/**
 * Holds a read at the gate while its row is written and invalidated. Resolves with what lets the read go on and waits
 * for it; it may fail, and what it returns is not judged.
 */
async function overtake(
  stage: Stage,
  id: string,
  race: { readonly reader: Actor; readonly gate: Gate; invalidate(): Promise<void> },
): Promise<() => Promise<void>> {
  const early = race.reader.cache.get(id).catch(() => undefined)
  await race.gate.reached
  stage.source.write(id)
  await race.invalidate()
  return async () => {
    race.gate.release()
    await early
  }
}

const fillWith = ({ cache }: Actor, id: string): Promise<unknown> => cache.fill?.(id) ?? cache.get(id)

async function judge(stage: Stage, id: string, ...actors: readonly Actor[]): Promise<Score> {
  let wrong = 0
  for (const { cache } of actors) if ((await cache.get(id)) !== stage.source.version(id)) wrong += 1
  return { wrong, judged: actors.length }
}

const fill: Scenario = {
  name: 'fill against invalidation',
  law: 'a load that read its row before an invalidation leaves nothing behind, here or in Redis',
  isFor: () => true,
  async play(stage, id) {
    const reader = await stage.actor()
    const gate = stage.source.hold(id)
    const goOn = await overtake(stage, id, { reader, gate, invalidate: () => stage.invalidate(reader, id) })
    await goOn()
    return judge(stage, id, reader)
  },
}

const fillElsewhere: Scenario = {
  name: 'fill against another process',
  law: 'the same, where another process invalidates: neither of the two reads the old version',
  isFor: ({ isShared }) => isShared,
  async play(stage, id) {
    const [reader, other] = [await stage.actor(), await stage.actor()]
    const gate = stage.source.hold(id)
    const goOn = await overtake(stage, id, { reader, gate, invalidate: () => stage.invalidate(other, id) })
    await goOn()
    return judge(stage, id, reader, other)
  },
}

const tag: Scenario = {
  name: 'tag invalidated during a load',
  law: 'a load that read its row before one of its tags was invalidated leaves nothing behind',
  isFor: ({ hasTags }) => hasTags,
  async play(stage, id) {
    const reader = await stage.actor([TAG])
    const gate = stage.source.hold(id)
    const goOn = await overtake(stage, id, { reader, gate, invalidate: () => stage.invalidateTag(reader, TAG) })
    await goOn()
    return judge(stage, id, reader)
  },
}

const join: Scenario = {
  name: 'join of an older load',
  law: 'a reader that comes after an invalidation never gets the result of a load from before it',
  isFor: () => true,
  async play(stage, id) {
    const reader = await stage.actor()
    const gate = stage.source.hold(id)
    const goOn = await overtake(stage, id, { reader, gate, invalidate: () => stage.invalidate(reader, id) })
    const late = reader.cache.get(id)
    // A reader that does not join answers by itself; one that does needs the load.
    await Promise.race([late, pollUntil(() => false, 50)])
    await goOn()
    return { wrong: (await late) === stage.source.version(id) ? 0 : 1, judged: 1 }
  },
}

const promotion: Scenario = {
  name: 'promotion from Redis to L1',
  law: 'a value that was read from Redis before an invalidation does not enter L1 after it',
  isFor: ({ isShared, hasL1 }) => isShared && hasL1,
  async play(stage, id) {
    const filler = await stage.actor()
    await fillWith(filler, id)
    const reader = await stage.actor()
    const gate = reader.wire.holdReplies()
    const goOn = await overtake(stage, id, { reader, gate, invalidate: () => stage.invalidate(filler, id) })
    await goOn()
    return judge(stage, id, reader)
  },
}

const lostMessage: Scenario = {
  name: 'lost bus message',
  law: 'a process that was cut off the bus while something changed does not serve the old version when it is back',
  isFor: ({ isShared, hasL1 }) => isShared && hasL1,
  async play(stage, id) {
    const [writer, reader] = [await stage.actor(), await stage.actor()]
    await fillWith(reader, id)
    reader.wire.cutBus()
    stage.source.write(id)
    await stage.invalidate(writer, id, { unheardBy: reader })
    await stage.loseBus()
    const heard = reader.wire.busBytes
    reader.wire.mendBus()
    await stage.isBack(reader, heard)
    return judge(stage, id, reader)
  },
}

const deadBus: Scenario = {
  name: 'dead bus',
  law: `a process that the bus no longer reaches stops serving what it holds (ours: after its contract, here ${CONTRACT_MS} ms)`,
  isFor: ({ isShared, hasL1 }) => isShared && hasL1,
  async play(stage, id) {
    const [writer, reader] = [await stage.actor(), await stage.actor()]
    await fillWith(reader, id)
    reader.wire.cutBus()
    stage.source.write(id)
    await stage.invalidate(writer, id, { unheardBy: reader })
    const doneAt = performance.now()
    await pollUntil(() => performance.now() - doneAt > CONTRACT_MS, 2 * CONTRACT_MS)
    return judge(stage, id, reader)
  },
}

/** Every race that is played step by step. The soak and the stampede need processes of their own: `soak.ts`. */
export const SCENARIOS: readonly Scenario[] = [fill, fillElsewhere, tag, join, promotion, lostMessage, deadBus]

/** The scenario of that name. */
export function scenarioOf(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name)
  if (!found) throw new Error(`there is no scenario "${name}"`)
  return found
}

/** Plays a scenario on `rows` rows one after the other, each with processes of its own. */
export async function play(
  scenario: Scenario,
  contender: Contender,
  options: StageOptions & { readonly rows: number },
): Promise<Score> {
  let [wrong, judged] = [0, 0]
  for (let row = 0; row < options.rows; row++) {
    const stage = new Stage(contender, options)
    try {
      const score = await scenario.play(stage, `r${row}`)
      wrong += score.wrong
      judged += score.judged
    } finally {
      await stage.close()
    }
  }
  return { wrong, judged }
}
