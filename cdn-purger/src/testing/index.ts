import { fileURLToPath } from 'node:url'

export { startMiniEdge } from '../edge/mini-edge.ts'
export type { MiniEdge, MiniEdgeOptions } from '../edge/mini-edge.ts'
export { startEmulator } from './emulator/emulator.ts'
export type { Emulator, EmulatorCounts, EmulatorOptions, Fault } from './emulator/emulator.ts'

/** Path of the program that runs a mini edge alone; it writes `{"url", "purgeUrl"}` to stdout when it listens. */
export function miniEdgeProgram(): string {
  const here = import.meta.url
  return fileURLToPath(new URL(here.endsWith('.ts') ? '../edge/main.ts' : '../edge/main.js', here))
}
