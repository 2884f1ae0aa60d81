import { defineConfig } from 'vitest/config'

/** A test's suffix states what must be running; the project of that name finds or starts it (servers/). */
const conditions = ['lockstep-source']
const resolve = { conditions }
const ssr = { resolve: { conditions } }
const exclude = ['**/node_modules/**', '**/dist/**']

/** `expect.poll` gives up after 1 s by default: a machine that stalls for that long is no fault of the code. */
const PATIENT = { expect: { poll: { timeout: 15_000 } } }

/** Groups run one after the other; inside of one, files share the machine. */
const UNITS = { maxWorkers: 2, sequence: { groupOrder: 1 } }
/** Most of their time these wait for servers and timers: two files at once keep two cores busy. */
const WAITING = { maxWorkers: 2, sequence: { groupOrder: 2 } }
/** These load the machine, measure, or would disturb each other: one file at a time. */
const ALONE = { maxWorkers: 1, sequence: { groupOrder: 3 } }

const withServers = (name: string, timeoutMs: number, group: typeof WAITING) => ({
  resolve,
  ssr,
  test: {
    name,
    include: [`*/src/**/*.${name}.test.ts`],
    exclude,
    pool: 'forks' as const,
    ...PATIENT,
    testTimeout: timeoutMs,
    hookTimeout: 180_000,
    globalSetup: [`./scripts/vitest/${name}.setup.ts`],
    ...group,
  },
})

type More = typeof WAITING & { readonly globalSetup?: string[]; readonly testTimeout?: number }

/** Tests of the whole pipeline, which start what they need themselves. */
const wholePipeline = (name: string, include: string[], more: More, without: string[] = []) => ({
  resolve,
  ssr,
  test: {
    name,
    include,
    exclude: [...exclude, ...without],
    pool: 'forks' as const,
    ...PATIENT,
    testTimeout: 240_000,
    hookTimeout: 180_000,
    ...more,
  },
})

const LOADS = ['itest/{pgbench,races,redis-faults}/*.test.ts']
/** The long half: `npm test` leaves it out and says so; `npm run itest` and CI run it. */
const LONG = ['itest/**/*.long.test.ts']
const LONG_LOADS = ['itest/{pgbench,network,redis-faults,purger}/*.long.test.ts']
const TELL = './scripts/vitest/long-half.setup.ts'

export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: 'unit',
          include: ['*/src/**/*.test.ts', 'scripts/**/*.test.ts'],
          exclude: [...exclude, '**/*.{pg,kafka,redis,varnish}.test.ts'],
          pool: 'threads',
          isolate: false,
          ...PATIENT,
          // For a machine that is busy with something else; none takes a second on its own.
          testTimeout: 30_000,
          ...UNITS,
        },
      },
      // A slot waits for every transaction of its server, and all these files share two.
      withServers('pg', 60_000, ALONE),
      withServers('redis', 60_000, WAITING),
      withServers('kafka', 60_000, WAITING),
      withServers('varnish', 60_000, WAITING),
      wholePipeline('itest', ['itest/**/*.test.ts'], { ...WAITING, globalSetup: [TELL] }, [...LOADS, ...LONG]),
      wholePipeline('itest-load', LOADS, ALONE, LONG),
      wholePipeline('itest-long', LONG, { ...WAITING, testTimeout: 600_000 }, LONG_LOADS),
      wholePipeline('itest-long-load', LONG_LOADS, { ...ALONE, testTimeout: 600_000 }),
    ],
  },
})
