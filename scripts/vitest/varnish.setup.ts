import { ensureVarnish } from '@lockstep/servers'
import type { TestProject } from 'vitest/node'

/** Finds or installs `varnishd` for the `*.varnish.test.ts` of every room; each test starts its own with its own VCL. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide('varnishBinary', await ensureVarnish())
}
