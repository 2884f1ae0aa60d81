import { defineConfig } from 'vitest/config'

/** A test's suffix states what must be running; the project of that name finds or starts it (servers/). */
const conditions = ['lockstep-source']
const resolve = { conditions }
const ssr = { resolve: { conditions } }
const withServers = (name: string, timeoutMs: number) => ({
  resolve,
  ssr,
  test: {
    name,
    include: [`*/src/**/*.${name}.test.ts`],
    exclude: ['**/node_modules/**', '**/dist/**'],
    pool: 'forks' as const,
    testTimeout: timeoutMs,
    hookTimeout: 180_000,
    globalSetup: [`./scripts/vitest/${name}.setup.ts`],
  },
})

export default defineConfig({
  test: {
    // Servers share two cores with the tests: one file at a time keeps timing honest.
    fileParallelism: false,
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: 'unit',
          include: ['*/src/**/*.test.ts', 'scripts/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', '**/*.{pg,kafka,redis,varnish}.test.ts'],
          pool: 'threads',
          isolate: false,
        },
      },
      withServers('pg', 60_000),
      withServers('redis', 60_000),
      withServers('kafka', 60_000),
      withServers('varnish', 60_000),
      {
        resolve,
        ssr,
        test: {
          name: 'itest',
          include: ['itest/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**'],
          pool: 'forks',
          testTimeout: 240_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})
