/** Runs the Zipf contest with an L1 of so many entries in a process of its own and answers it over IPC. */
import { openCacheRig } from './rig.ts'
import { measureZipf } from './zipf.ts'

const rig = await openCacheRig()
const results = await measureZipf(rig, Number(process.argv[2]))
await rig.close()
process.send?.(results, () => process.disconnect())
