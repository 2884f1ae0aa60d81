const WIDTH = 30

/** What a bar shows. */
export interface Progress {
  readonly state: string
  readonly total: number
  readonly done: number
  readonly refused: number
}

/** One line: bar, share, counts, pace and the time that is left at this pace. */
export function progressLine({ state, total, done, refused }: Progress, perSecond: number): string {
  const ended = done + refused
  const share = total === 0 ? 1 : ended / total
  const full = Math.round(share * WIDTH)
  const bar = `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}`
  const left = perSecond > 0 && ended < total ? `, ${Math.ceil((total - ended) / perSecond)} s left` : ''
  const pace = perSecond > 0 ? ` ${Math.round(perSecond)}/s${left}` : ''
  const failed = refused > 0 ? `, ${refused} refused` : ''
  return `${bar} ${Math.floor(share * 100)} % ${ended}/${total}${failed}${pace} ${state}`
}
