import type { DemoFigures } from './figures.ts'

/** What stands on the screen besides the figures. */
export interface Scene {
  readonly urls: readonly (readonly [name: string, url: string])[]
  readonly stages: readonly (readonly [name: string, state: string])[]
  readonly lastChanges: readonly string[]
  readonly tryThis: readonly string[]
}

const BOLD = '\u001b[1m'
const DIM = '\u001b[2m'
const GREEN = '\u001b[32m'
const RED = '\u001b[31m'
const RESET = '\u001b[0m'
const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`.padStart(10)
const percent = (value: number): string => `${(value * 100).toFixed(1)} %`.padStart(8)

/** Renders one frame as lines; the caller moves the cursor. */
export function renderFrame(figures: DemoFigures, scene: Scene): string[] {
  const verdict =
    figures.staleReads === 0 ? `${GREEN}0 stale reads${RESET}` : `${RED}${figures.staleReads} stale reads${RESET}`
  const layer = (name: string, { p50, p99 }: { p50: number; p99: number }) =>
    `  commit → ${name.padEnd(6)} ${ms(p50)} p50 ${ms(p99)} p99`
  return [
    `${BOLD}Lockstep${RESET}  every cache layer in step with Postgres   ${DIM}${figures.seconds.toFixed(0)} s${RESET}`,
    '',
    `  ${figures.commitsPerSecond} commits/s   ${figures.readsPerSecond} reads/s   ${verdict}, the oldest ${ms(figures.maxStalenessMs).trim()} behind`,
    '',
    layer('Redis', figures.commitToRedisMs),
    layer('L1', figures.commitToL1Ms),
    layer('edge', figures.commitToEdgeMs),
    '',
    `  hits: L1 ${percent(figures.l1HitRatio)}   edge ${percent(figures.edgeHitRatio)}   loads ${figures.loads}, coalesced ${figures.coalesced}`,
    `  read ${ms(figures.readMs.p50)} p50 ${ms(figures.readMs.p99)} p99${figures.readErrors > 0 ? `   ${RED}${figures.readErrors} errors${RESET}` : ''}`,
    '',
    `${BOLD}Stages${RESET}`,
    ...scene.stages.map(([name, state]) => `  ${name.padEnd(12)} ${state}`),
    '',
    `${BOLD}Last changes${RESET}`,
    ...scene.lastChanges.map((line) => `  ${line}`),
    '',
    `${BOLD}Open${RESET}`,
    ...scene.urls.map(([name, url]) => `  ${name.padEnd(12)} ${url}`),
    '',
    `${BOLD}Try${RESET}`,
    ...scene.tryThis.map((line) => `  ${line}`),
    '',
    `${DIM}Ctrl-C stops everything; twice stops at once.${RESET}`,
  ]
}
