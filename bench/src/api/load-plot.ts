import type { Second } from './open-loop.ts'

const WIDTH = 720
const HEIGHT = 200
const LEFT = 60
const RIGHT = 90
const TOP = 40
const GAP = 50
const BOTTOM = 40
const INK = '#555'

interface Line {
  readonly name: string
  readonly colour: string
  readonly values: readonly number[]
}

interface Panel {
  readonly title: string
  readonly top: number
  readonly lines: readonly Line[]
  readonly scale: Scale
}

/** Where a value lies between the bottom (0) and the top (1), and the values that get a line across. */
interface Scale {
  readonly ticks: readonly number[]
  at(value: number): number
}

/** From 0 to the next round number above the greatest value. */
export function linear(values: readonly number[]): Scale {
  const most = Math.max(1, ...values.filter(Number.isFinite))
  const power = 10 ** Math.floor(Math.log10(most))
  const end = [1, 2, 5, 10].map((step) => step * power).find((round) => round >= most) ?? most
  return { ticks: [0, end / 2, end], at: (value) => value / end }
}

/** Powers of ten around all values; what is not above 0 lies at the bottom. */
export function logarithmic(values: readonly number[]): Scale {
  const known = values.filter((value) => value > 0)
  const first = Math.floor(Math.log10(Math.min(1, ...known)))
  const last = Math.ceil(Math.log10(Math.max(10, ...known)))
  const ticks = Array.from({ length: last - first + 1 }, (_none, index) => 10 ** (first + index))
  return { ticks, at: (value) => (value > 0 ? (Math.log10(value) - first) / (last - first) : 0) }
}

const round = (value: number): number => Number(value.toFixed(1))

function panelOf({ title, top, lines, scale }: Panel, seconds: number): string {
  const x = (second: number): number => round(LEFT + (second / Math.max(1, seconds - 1)) * (WIDTH - LEFT - RIGHT))
  const y = (value: number): number => round(top + HEIGHT * (1 - scale.at(value)))
  const grid = scale.ticks.map(
    (tick) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ddd"/>` +
      `<text x="${LEFT - 6}" y="${y(tick) + 4}" text-anchor="end">${round(tick)}</text>`,
  )
  const every = Math.max(1, Math.ceil(seconds / 10))
  const marks = Array.from({ length: Math.ceil(seconds / every) }, (_none, index) => index * every).map(
    (second) => `<text x="${x(second)}" y="${top + HEIGHT + 16}" text-anchor="middle">${second}</text>`,
  )
  const curves = lines.map(({ name, colour, values }, index) => {
    // A second without a value interrupts the line.
    const path = values
      .map((value, second) => (Number.isFinite(value) ? `${x(second)},${y(value)}` : ' '))
      .join(' ')
      .split(/ {2,}/)
      .filter((points) => points !== '')
      .map((points) => `<polyline points="${points.trim()}" fill="none" stroke="${colour}" stroke-width="1.5"/>`)
    const label = `<text x="${WIDTH - RIGHT + 8}" y="${top + 14 + 16 * index}" fill="${colour}">${name}</text>`
    return path.join('') + label
  })
  return `<text x="${LEFT}" y="${top - 10}">${title}</text>${[...grid, ...marks, ...curves].join('\n')}`
}

/** Draws latencies and rates by the second, as a file of SVG. */
export function plotOf(seconds: readonly Second[], title: string): string {
  const line = (name: string, colour: string, of: (second: Second) => number): Line => {
    return { name, colour, values: seconds.map(of) }
  }
  const latencies = [
    line('p50', '#2563eb', ({ goodMs }) => goodMs.p50),
    line('p99', '#b91c1c', ({ goodMs }) => goodMs.p99),
  ]
  const rates = [
    line('due', '#9ca3af', ({ offered }) => offered),
    line('2xx', '#15803d', ({ good }) => good),
    line('refused', '#b45309', ({ refused }) => refused),
    line('other', '#b91c1c', ({ bad }) => bad),
  ]
  const valuesOf = (lines: readonly Line[]): number[] => lines.flatMap(({ values }) => values)
  const second = TOP + HEIGHT + GAP
  const panels: readonly Panel[] = [
    { title: `${title}: time to the answer, ms`, top: TOP, lines: latencies, scale: logarithmic(valuesOf(latencies)) },
    {
      title: 'requests, by the second in which they fell due',
      top: second,
      lines: rates,
      scale: linear(valuesOf(rates)),
    },
  ]
  const height = second + HEIGHT + BOTTOM
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" fill="${INK}">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...panels.map((panel) => panelOf(panel, seconds.length)),
    '</svg>\n',
  ].join('\n')
}
