import type { TestProcess } from '../process.ts'
import type { World } from './world.ts'

/** How many rows each layer was asked for, and which of its answers were not what the database says. */
export interface Agreement {
  readonly checked: Readonly<Record<string, number>>
  readonly disagreements: readonly string[]
}

const ROWS = 2_000
const EDGE_ROWS = 200

/** Compares every layer with the database, for rows that have changed: those are the ones that can be wrong. */
export async function compareLayers(world: World, fresh: TestProcess): Promise<Agreement> {
  await world.history.drain()
  const balances = await world.history.balances()
  const latest = [...world.history.history.latest()].slice(-ROWS).map(([row]) => row)
  const checked: Record<string, number> = {}
  const disagreements: string[] = []
  const judge = (row: string, value: string, layer: string) => {
    checked[layer] = (checked[layer] ?? 0) + 1
    const truth = balances.get(row) ?? '0'
    if (value !== truth && disagreements.length < 10)
      disagreements.push(`${row} in ${layer}: ${value}, the database says ${truth}`)
  }
  for (const reader of world.readers) {
    for (const [row, value, layer] of await world.valuesIn(reader, latest)) judge(row, value, layer)
  }
  // A process that has just started holds nothing itself: its hits are Redis' answers.
  for (const [row, value, layer] of await world.valuesIn(fresh, latest)) judge(row, value, `fresh ${layer}`)
  for (const row of latest.slice(-EDGE_ROWS)) judge(row, await world.valueAtEdge(row), 'edge')
  return { checked, disagreements }
}
