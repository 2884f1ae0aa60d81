import { FakeEdge } from './fake-edge.ts'
import { registerProviderContract } from './provider-contract.ts'

registerProviderContract('the fake edge', () => {
  const edge = new FakeEdge()
  return Promise.resolve({
    provider: edge,
    denied: edge.withWrongToken(),
    set: (path, page) => edge.set(path, page),
    read: (path) => Promise.resolve(edge.read(path)),
    close: () => Promise.resolve(),
  })
})
