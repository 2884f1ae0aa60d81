/** Units as Grafana names them. */
type Unit = 's' | 'bytes' | 'ops' | 'reqps' | 'percentunit' | 'short'

interface Panel {
  readonly title: string
  readonly type: 'timeseries' | 'stat' | 'heatmap'
  readonly targets: readonly { readonly refId: string; readonly expr: string; readonly legendFormat: string }[]
  readonly [setting: string]: unknown
}

/** One dashboard as Grafana provisions it. */
export interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly panels: readonly Panel[]
  readonly [setting: string]: unknown
}

/** Legend → PromQL. */
type Queries = Readonly<Record<string, string>>

const SOURCE = { type: 'prometheus', uid: 'lockstep' }
const COLUMNS = 24
const WIDTH = 8
const HEIGHT = 8

function panel(type: Panel['type'], title: string, unit: Unit, queries: Queries): Panel {
  return {
    title,
    type,
    datasource: SOURCE,
    fieldConfig: {
      defaults: { unit, ...(type === 'timeseries' ? { custom: { showPoints: 'never' } } : {}) },
      overrides: [],
    },
    targets: Object.entries(queries).map(([legendFormat, expr], index) => ({
      refId: String.fromCodePoint('A'.codePointAt(0)! + index),
      datasource: SOURCE,
      expr,
      legendFormat,
    })),
  }
}

/** Lines over time. */
export const timeseries = (title: string, unit: Unit, queries: Queries): Panel =>
  panel('timeseries', title, unit, queries)

/** The newest value. */
export const stat = (title: string, unit: Unit, queries: Queries): Panel => panel('stat', title, unit, queries)

/** Buckets of a histogram of seconds over time. */
export const heatmap = (title: string, expr: string): Panel => {
  const made = panel('heatmap', title, 's', { '{{le}}': expr })
  return { ...made, targets: made.targets.map((target) => ({ ...target, format: 'heatmap' })) }
}

/** Lays panels out three in a row. */
export function dashboard(uid: string, title: string, panels: readonly Panel[]): Dashboard {
  const inRow = COLUMNS / WIDTH
  return {
    uid,
    title,
    tags: ['lockstep'],
    schemaVersion: 41,
    editable: false,
    refresh: '10s',
    time: { from: 'now-30m', to: 'now' },
    panels: panels.map((one, index) => ({
      id: index + 1,
      gridPos: { x: (index % inRow) * WIDTH, y: Math.floor(index / inRow) * HEIGHT, w: WIDTH, h: HEIGHT },
      ...one,
    })),
  }
}
