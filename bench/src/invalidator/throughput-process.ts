/** Measures the throughput in a process of its own and answers it over IPC. */
import { measureThroughput } from './throughput.ts'

const measured = await measureThroughput(process.argv[2] ?? '')
process.send?.(measured, () => process.disconnect())
