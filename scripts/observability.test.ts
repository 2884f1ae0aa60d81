import { parser } from '@prometheus-io/lezer-promql'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { DASHBOARDS } from './dashboards.ts'
import { METRICS } from './metrics-catalogue.ts'

interface Rule {
  readonly alert?: string
  readonly record?: string
  readonly expr: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

const root = join(import.meta.dirname, '..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const RULES = 'deploy/prometheus/rules/lockstep.yaml'
const { groups } = parse(read(RULES)) as { groups: readonly { rules: readonly Rule[] }[] }
const rules = groups.flatMap((group) => group.rules)
const alerts = rules.filter((rule) => rule.alert !== undefined)

// What prom-client adds to every process, and Prometheus to every target.
const FOREIGN = new Set([
  'up',
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'nodejs_heap_size_used_bytes',
  'nodejs_eventloop_lag_p99_seconds',
])

/** Every series that may be asked for: the tables of the rooms, with what a histogram is made of, and the recorded ones. */
const exported = new Set([
  ...METRICS.flatMap(([, rows]) => rows).flatMap(({ name, kind }) =>
    kind === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
  ...rules.flatMap(({ record }) => record ?? []),
  ...FOREIGN,
])

/** The series that an expression names; throws where it is not PromQL. */
function seriesOf(expr: string): string[] {
  const text = expr.replaceAll('$__rate_interval', '1m')
  const found: string[] = []
  parser.parse(text).iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`not PromQL at ${node.from}: ${text}`)
      if (node.name === 'VectorSelector') found.push(/^[\w:]+/.exec(text.slice(node.from, node.to))?.[0] ?? '')
    },
  })
  return found
}

const unknownIn = (expr: string): string[] => seriesOf(expr).filter((name) => !exported.has(name))

describe('deploy/prometheus', () => {
  test.for(rules.map((rule) => [rule.alert ?? rule.record ?? '', rule.expr] as const))(
    '%s asks for series that some process exports',
    ([, expr]) => expect(unknownIn(expr)).toEqual([]),
  )

  test.for(alerts.map((rule) => [rule.alert ?? '', rule] as const))(
    '%s says how urgent it is and leads to its section of the runbook',
    ([name, { labels, annotations }]) => {
      expect(['page', 'ticket']).toContain(labels?.['severity'])
      expect(annotations?.['summary']).toMatch(/.{20}/)
      expect(annotations?.['runbook_url']).toBe(`docs/runbook.md#${name.toLowerCase()}`)
      const [, section = ''] = read('docs/runbook.md').split(`\n## ${name}\n`)
      expect(section.split('\n## ')[0]).toMatch(/\*\*Means\*\*[^]+\*\*(Look|Do)/)
    },
  )

  test('the runbook has no section of an alert that is gone', () => {
    const sections = [...read('docs/runbook.md').matchAll(/^## (Lockstep\w+)$/gm)].map(([, name]) => name)
    expect(sections).toEqual(alerts.map(({ alert }) => alert))
  })

  test('every alert is tested, quiet and firing', () => {
    const tests = globSync('deploy/prometheus/rules/*.test.yaml', { cwd: root }).flatMap(
      (file) => (parse(read(file)) as { tests: { name: string; alert_rule_test: { exp_alerts?: unknown }[] }[] }).tests,
    )
    expect(tests).toHaveLength(alerts.length)
    expect(new Set(tests.map(({ name }) => name))).toEqual(new Set(alerts.map(({ alert }) => alert)))
    for (const {
      alert_rule_test: [quiet, firing],
    } of tests) {
      expect(quiet?.exp_alerts).toBeUndefined()
      expect(firing?.exp_alerts).toHaveLength(1)
    }
  })

  test('a series that nobody exports, or what is not PromQL, is found', () => {
    expect(unknownIn('rate(lockstep_no_such_total[5m]) > up')).toEqual(['lockstep_no_such_total'])
    expect(() => seriesOf('rate(up[5m)')).toThrow('not PromQL')
  })
})

describe('deploy/grafana', () => {
  const queries = Object.entries(DASHBOARDS).flatMap(([name, { panels }]) =>
    panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [`${name}: ${title}`, expr] as const)),
  )

  test.for(queries)('%s asks for series that some process exports', ([, expr]) => expect(unknownIn(expr)).toEqual([]))

  test('panels have titles of their own, and every one asks for something', () => {
    for (const { panels } of Object.values(DASHBOARDS)) {
      expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length)
      for (const { targets } of panels) expect(targets.length).toBeGreaterThan(0)
    }
  })

  test('provisioning gives the panels their data source and finds the files', () => {
    const { datasources } = parse(read('deploy/grafana/provisioning/datasources/lockstep.yaml')) as {
      datasources: { uid: string; type: string }[]
    }
    expect(datasources).toMatchObject([{ uid: 'lockstep', type: 'prometheus' }])
    expect(globSync('deploy/grafana/dashboards/*.json', { cwd: root })).toHaveLength(Object.keys(DASHBOARDS).length)
  })
})
