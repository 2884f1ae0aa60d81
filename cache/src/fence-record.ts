import type { Stamp } from '@lockstep/schemas'
import type { FenceRecord } from './store.ts'

const STAMP_END = 28

/** Reads a fence as Redis holds it: stamp, `:`, incarnation. */
export function fenceOf(text: string | null): FenceRecord | null {
  return text ? { stamp: text.slice(0, STAMP_END) as Stamp, incarnation: text.slice(STAMP_END + 1) } : null
}
