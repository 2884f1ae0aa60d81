import { API_OPTIONS } from '@lockstep/api'
import { PURGER_CONFIG } from '@lockstep/cdn-purger'
import { CONNECTOR_CONFIG } from '@lockstep/connector'
import { INVALIDATOR_CONFIG } from '@lockstep/invalidator'
import { loadConfig, type ConfigTable } from '@lockstep/runtime'
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject'
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule'
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { Service } from 'kubernetes-models/v1/Service'
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { containersOf, kustomize, readManifests, type Manifest } from './kustomize.ts'

const at = (path: string): string => join(import.meta.dirname, '../deploy/k8s', path)
const single = kustomize(at('overlays/single-node'))
const production = kustomize(at('overlays/production'))
const everything = [...kustomize(at('overlays/production')), ...kustomize(at('components/vpa'))]

/** The schemas of Kubernetes and of the custom resources, by apiVersion and kind; of the VPA there is none to be had. */
const SCHEMAS: Readonly<Record<string, new (data: never) => { validate(): void }>> = {
  'v1 Namespace': Namespace,
  'v1 ConfigMap': ConfigMap,
  'v1 Service': Service,
  'v1 ServiceAccount': ServiceAccount,
  'apps/v1 Deployment': Deployment,
  'policy/v1 PodDisruptionBudget': PodDisruptionBudget,
  'networking.k8s.io/v1 NetworkPolicy': NetworkPolicy,
  'autoscaling/v2 HorizontalPodAutoscaler': HorizontalPodAutoscaler,
  'keda.sh/v1alpha1 ScaledObject': ScaledObject,
  'monitoring.coreos.com/v1 ServiceMonitor': ServiceMonitor,
  'monitoring.coreos.com/v1 PrometheusRule': PrometheusRule,
}
const WITHOUT_SCHEMA = 'autoscaling.k8s.io/v1 VerticalPodAutoscaler'
const typeOf = ({ apiVersion, kind }: Manifest): string => `${apiVersion} ${kind}`
const nameOf = (manifest: Manifest): string => `${manifest.kind} ${manifest.metadata.name}`

function validate(manifest: Manifest): void {
  const Schema = SCHEMAS[typeOf(manifest)]
  if (Schema === undefined) throw new Error(`no schema of ${typeOf(manifest)}`)
  new Schema(structuredClone(manifest) as never).validate()
}

const of = (kind: string, manifests = production): Manifest[] => manifests.filter((one) => one.kind === kind)
const find = (kind: string, name: string, manifests = production): Manifest => {
  const found = of(kind, manifests).find(({ metadata }) => metadata.name === name)
  if (!found) throw new Error(`no ${kind} ${name}`)
  return found
}
const labelsOf = (deployment: Manifest) => deployment['spec'].template.metadata.labels as Record<string, string>
const matches = (selector: { matchLabels?: Record<string, string> }, labels: Record<string, string>): boolean =>
  Object.entries(selector.matchLabels ?? {}).every(([label, value]) => labels[label] === value)

const PROCESSES: readonly (readonly [name: string, table: ConfigTable, adminPort: number])[] = [
  ['connector', CONNECTOR_CONFIG, CONNECTOR_CONFIG.adminPort.default],
  ['invalidator', INVALIDATOR_CONFIG, INVALIDATOR_CONFIG.adminPort.default],
  ['cdn-purger', PURGER_CONFIG, PURGER_CONFIG.adminPort.default],
  ['api', API_OPTIONS, API_OPTIONS.adminPort.default],
]

describe('deploy/k8s against the schemas', () => {
  test.for(everything.filter((one) => typeOf(one) !== WITHOUT_SCHEMA).map((one) => [nameOf(one), one] as const))(
    '%s is valid',
    ([, manifest]) => expect(() => validate(manifest)).not.toThrow(),
  )

  test.for<[what: string, kind: string, name: string, change: (spec: Manifest) => void]>([
    ['a number of replicas that is text', 'Deployment', 'api', ({ spec }) => (spec.replicas = '3')],
    [
      'a metric target without its type',
      'HorizontalPodAutoscaler',
      'api',
      ({ spec }) => delete spec.metrics[0].pods.target.type,
    ],
    ['a policy type that does not exist', 'NetworkPolicy', 'api', ({ spec }) => (spec.policyTypes = 'Egress')],
    ['a trigger without metadata', 'ScaledObject', 'invalidator', ({ spec }) => delete spec.triggers[0].metadata],
    ['an endpoint that is no object', 'ServiceMonitor', 'lockstep', ({ spec }) => (spec.endpoints = ['admin'])],
  ])('%s is refused', ([, kind, name, change]) => {
    const manifest = structuredClone(find(kind, name))
    change(manifest)
    expect(() => validate(manifest)).toThrow(/must|required/)
  })

  test('what has no schema here is known by name', () => {
    const types = new Set(everything.map(typeOf).filter((type) => !(type in SCHEMAS)))
    expect([...types]).toEqual([WITHOUT_SCHEMA])
  })
})

describe('deploy/k8s', () => {
  test.for(PROCESSES)('%s accepts its environment and is probed at its own admin port', ([name, table, port]) => {
    const container: Record<string, unknown> = containersOf(find('Deployment', name))[0] ?? {}
    const config = find('ConfigMap', 'lockstep')['data'] as Record<string, string>
    const given = container['env'] as { name: string; value: string }[]
    const own = Object.fromEntries(given.map(({ name: key, value }) => [key.replace(/_FILE$/, ''), value]))
    const known = new Set<string>(Object.values(table).map(({ env }) => env))
    expect(Object.keys(own).filter((key) => key !== 'NODE_OPTIONS' && !known.has(key))).toEqual([])
    const secrets = given
      .filter(({ name: key }) => key.endsWith('_FILE'))
      .map(({ name: key }) => key.replace(/_FILE$/, ''))
    const filled = {
      ...config,
      ...own,
      ...Object.fromEntries(secrets.map((key) => [key, 'postgres://a-long-secret@host/db'])),
    }
    expect(() => loadConfig(table, { env: filled })).not.toThrow()
    expect(container['ports']).toContainEqual({ name: 'admin', containerPort: port })
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
      expect(container[probe]).toMatchObject({ httpGet: { port: 'admin' } })
    expect(container['readinessProbe']).toMatchObject({ httpGet: { path: '/readyz' } })
    expect(container['livenessProbe']).toMatchObject({ httpGet: { path: '/livez' } })
  })

  test.for(PROCESSES)('%s runs with no rights, bounded, spread, and may be drained', ([name]) => {
    const { spec } = find('Deployment', name)['spec'].template
    const [container] = spec.containers
    expect(spec.automountServiceAccountToken).toBe(false)
    expect(spec.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 65_532,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(container.resources).toMatchObject({
      requests: { cpu: expect.anything(), memory: expect.anything() },
      limits: { memory: expect.anything() },
    })
    expect(spec.topologySpreadConstraints).toHaveLength(2)
    // A process gives itself 25 s, after the pause before SIGTERM.
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(25 + (container.lifecycle?.preStop.sleep.seconds ?? 0))
    expect(find('PodDisruptionBudget', name)['spec']).toMatchObject({ maxUnavailable: 1 })
    expect(container.image).toMatch(/^registry\.example\/lockstep:\d+\.\d+\.\d+$/)
  })

  test('every selector selects something', () => {
    const pods = of('Deployment').map(labelsOf)
    for (const deployment of of('Deployment'))
      expect(matches(deployment['spec'].selector, labelsOf(deployment))).toBe(true)
    const ours = production.filter(({ metadata }) => PROCESSES.some(([name]) => metadata.name.startsWith(name)))
    const selectors = ours.flatMap(({ kind, spec }) => {
      const byKind = {
        PodDisruptionBudget: spec?.selector,
        NetworkPolicy: spec?.podSelector,
        Service: { matchLabels: spec?.selector },
      }
      return byKind[kind as keyof typeof byKind] ?? []
    })
    expect(selectors).toHaveLength(3 * PROCESSES.length + 1)
    expect(selectors.filter((selector) => !pods.some((labels) => matches(selector, labels)))).toEqual([])
    const monitored = of('Service').filter(({ metadata }) =>
      matches(find('ServiceMonitor', 'lockstep')['spec'].selector, metadata.labels ?? {}),
    )
    const names = monitored.map(({ metadata }) => metadata.labels?.['app.kubernetes.io/name'])
    expect(new Set(names)).toEqual(new Set(PROCESSES.map(([name]) => name)))
  })

  test('nothing talks unless a policy names it, and only the purger reaches the world', () => {
    expect(find('NetworkPolicy', 'default-deny')['spec']).toEqual({
      podSelector: {},
      policyTypes: ['Ingress', 'Egress'],
    })
    const worldly = of('NetworkPolicy').filter((policy) => JSON.stringify(policy).includes('ipBlock'))
    expect(worldly.map(({ metadata }) => metadata.name)).toEqual(['cdn-purger'])
    for (const [name] of PROCESSES) expect(() => find('NetworkPolicy', name)).not.toThrow()
  })

  test('scalers and replicas never fight, and the connector is never scaled', () => {
    const scaled = [...of('HorizontalPodAutoscaler'), ...of('ScaledObject')].map(
      ({ spec }) => spec.scaleTargetRef.name as string,
    )
    expect(scaled.toSorted()).toEqual(['api', 'cdn-purger', 'invalidator'])
    for (const name of scaled) expect(find('Deployment', name)['spec']).not.toHaveProperty('replicas')
    expect(find('Deployment', 'connector')['spec'].replicas).toBe(2)
    expect(find('Deployment', 'api', single)['spec'].replicas).toBe(1)
    expect(find('Deployment', 'connector', single)['spec'].replicas).toBe(2)
  })

  test('consumers scale on the lag of their own group, up to the number of partitions', () => {
    for (const { metadata, spec } of of('ScaledObject')) {
      const [{ type, metadata: trigger }] = spec.triggers
      expect(type).toBe('kafka')
      expect(trigger.consumerGroup).toBe(`lockstep.${metadata.name}`)
      expect(trigger).toMatchObject({
        excludePersistentLag: 'true',
        limitToPartitionsWithLag: 'true',
        allowIdleConsumers: 'false',
      })
      expect(Object.values(trigger).every((value) => typeof value === 'string')).toBe(true)
      expect(spec.maxReplicaCount).toBeLessThanOrEqual(4)
    }
  })

  test('vertical recommendations change nothing, and are in no overlay', () => {
    const recommenders = of('VerticalPodAutoscaler', everything)
    expect(recommenders.map(({ spec }) => spec.targetRef.name)).toEqual(PROCESSES.map(([name]) => name))
    for (const { spec } of recommenders) expect(spec.updatePolicy).toEqual({ updateMode: 'Off' })
    for (const overlay of [single, production]) expect(of('VerticalPodAutoscaler', overlay)).toEqual([])
  })

  test('the rules of the operator are those that promtool tests', () => {
    const [rules] = readManifests(at('components/monitoring/prometheus-rule.yaml'))
    const [{ groups }] = readManifests(at('../prometheus/rules/lockstep.yaml')) as [Manifest]
    expect(rules?.['spec']).toEqual({ groups })
  })
})
