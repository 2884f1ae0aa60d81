/**
 * `node scripts/run.mjs itest/races/main.ts [--write]`: plays every race with every library and prints the table; with
 * `--write` it becomes docs/races.md.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { startRedis } from '@lockstep/servers'
import { CONTENDERS } from './contenders/index.ts'
import { SCENARIOS, play } from './scenarios.ts'
import { soak } from './soak.ts'
import { render, type Row } from './table.ts'

const ROWS = 5
const SOAK_MS = Number(process.env['LOCKSTEP_RACES_SOAK_MS'] ?? 10_000)
const DOCUMENT = new URL('../../docs/races.md', import.meta.url)

function versionOf(name: string): string {
  if (name === 'lockstep') return 'this tree'
  const file = import.meta.resolve(name).replace(new RegExp(`(node_modules/${name})/.*`), '$1/package.json')
  return (JSON.parse(readFileSync(new URL(file), 'utf8')) as { version: string }).version
}

const redis = await startRedis({ needs: 'process' })
const rows: Row[] = []
// Its provider listens to no error: see contenders/cacheable.ts.
const keptAlive = new Set(['cacheable'])
let playing = ''
// A cut connection leaves commands rejected that some libraries wait for no more. Their reads are judged all the same; ours has none.
process.on('unhandledRejection', (error) => {
  if (playing === 'lockstep') throw error
  keptAlive.add(playing)
})
for (const contender of CONTENDERS) {
  playing = contender.name
  const scores = []
  for (const scenario of SCENARIOS) {
    scores.push(scenario.isFor(contender) ? await play(scenario, contender, { redis, rows: ROWS }) : null)
  }
  const soaked = contender.isShared ? await soak(contender, { redis, ms: SOAK_MS }) : null
  rows.push({ name: contender.name, version: versionOf(contender.name), scores, soaked })
  console.error(`${contender.name}: done`)
}
await redis.stop()
const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.versions.node}`
const text = render(rows, { soakMs: SOAK_MS, machine, keptAlive: [...keptAlive].toSorted() })
console.log(text)
if (process.argv.includes('--write')) writeFileSync(DOCUMENT, text)
process.exit(0)
