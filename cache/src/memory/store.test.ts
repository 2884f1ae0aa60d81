import { registerStoreContract } from '../testing/store-contract.ts'
import { createMemoryFenceWriter } from './fence-writer.ts'
import { createMemoryServer } from './server.ts'
import { createMemoryStore } from './store.ts'

registerStoreContract('memory', async () => {
  const server = createMemoryServer()
  const store = createMemoryStore(server)
  await store.connect()
  return {
    store,
    writer: createMemoryFenceWriter({ server }),
    life: (kind, name) => Promise.resolve(server.strings.life(`${kind === 'fence' ? 'f' : 'l'}:${name}`)),
    ack: (processId) => Promise.resolve(server.acks.get(processId) ?? null),
    setFull: (isFull) => {
      server.isFull = isFull
      return Promise.resolve()
    },
    close: () => store.close(),
  }
})
