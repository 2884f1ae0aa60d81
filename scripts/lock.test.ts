import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
// @ts-expect-error -- plain JavaScript, because it must run before anything is installed
import { dangling } from './prune-lock.mjs'

test('every package that the lock file names has an entry, so that npm ci accepts it', () => {
  const lock = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package-lock.json'), 'utf8')) as {
    packages: object
  }
  expect(dangling(lock.packages)).toEqual([])
})
