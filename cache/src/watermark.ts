import type { Stamp } from '@lockstep/schemas'
import type { Attachment } from './store.ts'

type Fields = Readonly<Record<string, string>>

function perPartition(fields: Fields, prefix: string): string[] {
  return Array.from({ length: Number(fields['n'] ?? 0) }, (_, index) => fields[`${prefix}:${index}`] ?? '')
}

/** Least watermark stamp of all partitions of `w`; '' unless each has delivered one. */
export function minimumWatermark(fields: Fields): Stamp | '' {
  const stamps = perPartition(fields, 'm')
  return stamps.reduce((least, stamp) => (stamp < least ? stamp : least), stamps[0] ?? '') as Stamp | ''
}

/** Least echo (µs) of all partitions of `w`; '' unless each has delivered one. */
export function minimumEcho(fields: Fields): string {
  const echoes = perPartition(fields, 'r')
  if (echoes.length === 0 || echoes.includes('')) return ''
  return echoes.reduce((least, echo) => (BigInt(echo) < BigInt(least) ? echo : least))
}

/** Reads the fields of `w`; null where there is none. */
export function attachmentOf(fields: Fields): Attachment | null {
  const generation = fields['g']
  if (generation === undefined) return null
  const classes = new Map<string, Stamp>()
  for (const [field, value] of Object.entries(fields)) {
    if (field.startsWith('c:')) classes.set(field.slice(2), value as Stamp)
  }
  return {
    generation: Number(generation),
    start: fields['max'] as Stamp,
    everything: fields['*'] as Stamp,
    classes,
    watermark: minimumWatermark(fields),
    echo: minimumEcho(fields),
    nonce: fields['last'] ?? '',
    id: fields['id'] ?? '0-0',
  }
}
