import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const exists = (path: string) => globSync(path, { cwd: root }).length > 0

describe('docs', () => {
  test('every test that guarantees.md names exists', () => {
    const named = [...read('docs/guarantees.md').matchAll(/`([a-z][\w-]*\/[\w*./-]+\.ts)`/g)].map(
      ([, path]) => path ?? '',
    )
    expect(named.length).toBeGreaterThan(15)
    expect(named.filter((path) => !exists(path))).toEqual([])
  })

  test.each(['README.md', 'docs/architecture.md', 'docs/guarantees.md'])('every link of %s leads somewhere', (file) => {
    const links = [...read(file).matchAll(/\]\(([^)#:]+)\)/g)].map(([, link]) => join(dirname(file), link ?? ''))
    expect(links.filter((link) => !exists(link))).toEqual([])
  })
})
