// By path: the runner of global setups resolves packages without the condition that leads to our sources.
import { ensureVarnish } from '../../servers/src/index.ts'
import type { TestProject } from 'vitest/node'

/** Finds or installs `varnishd` for the `*.varnish.test.ts` of every room; each test starts its own with its own VCL. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide('varnishBinary', await ensureVarnish())
}
