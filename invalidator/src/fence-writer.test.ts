import { registerFenceWriterContract } from './testing/fence-writer-contract.ts'
import { MemoryFenceWriter } from './testing/memory-fence-writer.ts'

registerFenceWriterContract('memory', () => new MemoryFenceWriter(() => 0n))
