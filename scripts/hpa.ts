/** The arithmetic of Kubernetes' HorizontalPodAutoscaler (autoscaling/v2), for playing load through a manifest. */

interface Policy {
  readonly type: 'Percent' | 'Pods'
  readonly value: number
  readonly periodSeconds: number
}

interface Rules {
  readonly stabilizationWindowSeconds: number
  readonly policies: readonly Policy[]
}

/** What of a manifest's `spec` decides. */
export interface HpaSpec {
  readonly minReplicas: number
  readonly maxReplicas: number
  readonly metrics: readonly {
    readonly type: 'Pods' | 'External'
    readonly pods?: { readonly metric: { readonly name: string }; readonly target: { readonly averageValue: string } }
    readonly external?: { readonly metric: { readonly name: string }; readonly target: { readonly value: string } }
  }[]
  readonly behavior: { readonly scaleUp: Rules; readonly scaleDown: Rules }
}

/** Metric name → value: per replica for `Pods`, of all for `External`. */
export type Observed = Readonly<Record<string, number>>

// The defaults of kube-controller-manager.
const TOLERANCE = 0.1
const SECOND_MS = 1_000

/** Reads `250m` and `1000`. */
const quantity = (text: string): number => (text.endsWith('m') ? Number.parseFloat(text) / 1_000 : Number(text))

/** One autoscaler with its memory of recommendations and scalings. Times in ms. */
export class Hpa {
  readonly #spec: HpaSpec
  readonly #recommended: { readonly atMs: number; readonly replicas: number }[] = []
  readonly #scaled: { readonly atMs: number; readonly by: number }[] = []
  #replicas: number

  constructor(spec: HpaSpec, replicas: number) {
    this.#spec = spec
    this.#replicas = replicas
  }

  get replicas(): number {
    return this.#replicas
  }

  /** One sync; answers the new number of replicas. `ready`: replicas that report metrics. */
  sync(atMs: number, ready: number, observed: Observed): number {
    const { minReplicas, maxReplicas } = this.#spec
    const wanted = Math.max(...this.#spec.metrics.map((metric) => this.#wantedBy(metric, ready, observed)))
    const bounded = Math.min(maxReplicas, Math.max(minReplicas, wanted))
    this.#recommended.push({ atMs, replicas: bounded })
    const next = this.#limited(atMs, this.#stabilized(atMs, bounded))
    if (next !== this.#replicas) this.#scaled.push({ atMs, by: next - this.#replicas })
    this.#replicas = next
    return next
  }

  #wantedBy({ pods, external }: HpaSpec['metrics'][number], ready: number, observed: Observed): number {
    const name = (pods ?? external)?.metric.name ?? ''
    const target = quantity(pods?.target.averageValue ?? external?.target.value ?? '0')
    const ratio = (observed[name] ?? Number.NaN) / target
    if (!Number.isFinite(ratio) || Math.abs(1 - ratio) <= TOLERANCE) return this.#replicas
    return Math.ceil(ratio * ready)
  }

  /** Up: the least of the window; down: the greatest. */
  #stabilized(atMs: number, wanted: number): number {
    const { scaleUp, scaleDown } = this.#spec.behavior
    const within = (rules: Rules) =>
      this.#recommended
        .filter((one) => one.atMs > atMs - rules.stabilizationWindowSeconds * SECOND_MS || one.atMs === atMs)
        .map(({ replicas }) => replicas)
    const up = Math.min(wanted, ...within(scaleUp))
    const down = Math.max(wanted, ...within(scaleDown))
    if (this.#replicas < up) return up
    return this.#replicas > down ? down : this.#replicas
  }

  #limited(atMs: number, wanted: number): number {
    const { scaleUp, scaleDown } = this.#spec.behavior
    if (wanted > this.#replicas) {
      const most = scaleUp.policies.map((policy) => {
        const start = this.#replicas - this.#changed(atMs, policy, 1)
        return policy.type === 'Pods' ? start + policy.value : Math.ceil(start * (1 + policy.value / 100))
      })
      return Math.min(wanted, Math.max(this.#replicas, ...most))
    }
    if (wanted === this.#replicas) return wanted
    const least = scaleDown.policies.map((policy) => {
      const start = this.#replicas + this.#changed(atMs, policy, -1)
      return policy.type === 'Pods' ? start - policy.value : Math.floor(start * (1 - policy.value / 100))
    })
    return Math.max(wanted, Math.min(this.#replicas, ...least))
  }

  /** Replicas added (1) or removed (-1) within the policy's period. */
  #changed(atMs: number, { periodSeconds }: Policy, direction: 1 | -1): number {
    return this.#scaled
      .filter((one) => one.atMs > atMs - periodSeconds * SECOND_MS && Math.sign(one.by) === direction)
      .reduce((sum, { by }) => sum + Math.abs(by), 0)
  }
}
