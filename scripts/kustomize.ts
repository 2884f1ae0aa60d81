import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'

/** One manifest. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
  }
  // A manifest's further fields are those of its kind; the schemas judge them.
  // oxlint-disable-next-line typescript/no-explicit-any
  [field: string]: any
}

interface Kustomization {
  readonly resources?: readonly string[]
  readonly components?: readonly string[]
  readonly images?: readonly { readonly name: string; readonly newName: string; readonly newTag: string }[]
  readonly replicas?: readonly { readonly name: string; readonly count: number }[]
  readonly patches?: readonly {
    readonly target: { readonly kind: string; readonly name: string }
    readonly patch: string
  }[]
}

interface Operation {
  readonly op: 'remove' | 'replace' | 'add'
  readonly path: string
  readonly value?: unknown
}

const KNOWN = new Set(['apiVersion', 'kind', 'resources', 'components', 'images', 'replicas', 'patches'])

/**
 * Renders a directory as `kubectl kustomize` does, for the fields that deploy/k8s uses; needs no program.
 * @throws Error on any other field, so that nothing is silently left out.
 */
export function kustomize(directory: string): Manifest[] {
  const file = parse(readFileSync(join(directory, 'kustomization.yaml'), 'utf8')) as Kustomization
  const unknown = Object.keys(file).filter((field) => !KNOWN.has(field))
  if (unknown.length > 0) throw new Error(`${directory}: ${unknown.join(', ')} is not rendered`)
  const sources = [...(file.resources ?? []), ...(file.components ?? [])].map((path) => join(directory, path))
  const manifests = sources.flatMap((path) => (statSync(path).isDirectory() ? kustomize(path) : readManifests(path)))
  patchAll(manifests, file, directory)
  for (const { name, count } of file.replicas ?? []) {
    const isMeant = ({ kind, metadata }: Manifest) => kind === 'Deployment' && metadata.name === name
    for (const { spec } of manifests.filter(isMeant)) (spec as { replicas: number }).replicas = count
  }
  for (const image of file.images ?? []) {
    const isMeant = (container: { image: string }) => container.image === image.name
    for (const container of manifests.flatMap(containersOf).filter(isMeant))
      container.image = `${image.newName}:${image.newTag}`
  }
  return manifests
}

function patchAll(manifests: readonly Manifest[], { patches = [] }: Kustomization, directory: string): void {
  for (const { target, patch } of patches) {
    const targets = manifests.filter(
      ({ kind, metadata: { name } }) =>
        new RegExp(`^(${target.kind})$`).test(kind) && new RegExp(`^(${target.name})$`).test(name),
    )
    if (targets.length === 0) throw new Error(`${directory}: a patch has no target`)
    for (const manifest of targets) for (const step of parse(patch) as Operation[]) apply(manifest, step)
  }
}

/** Reads every document of a file. */
export function readManifests(file: string): Manifest[] {
  return parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS() as Manifest)
}

/** The containers of a workload; none of another kind. */
export function containersOf(manifest: Manifest): { image: string; [field: string]: unknown }[] {
  return (manifest['spec']?.template?.spec?.containers ?? []) as { image: string }[]
}

/** One step of JSON Patch (RFC 6902), for paths without `-`. */
function apply(manifest: Manifest, { op, path, value }: Operation): void {
  const words = path.split('/').slice(1)
  const last = words.pop() ?? ''
  let at = manifest as Record<string, unknown>
  for (const word of words) at = at[word] as Record<string, unknown>
  if (op !== 'add' && !(last in at)) throw new Error(`${manifest.metadata.name} has no ${path}`)
  if (op === 'remove') delete at[last]
  else at[last] = value
}
