// Event streams on Node's own http: each message is one buffer, written to every answer as it is.
// The answers are not chunked, so that the same bytes go over the wire as from the other servers.

import { createServer } from 'node:http'

const HEAD = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store',
  'X-Accel-Buffering': 'no',
  Connection: 'close',
}

const streams = new Set()
let present = Buffer.alloc(0)

const event = (text) =>
  Buffer.from(text.split('\n').map((line) => `data: ${line}\n`).join('') + '\n')

function stream (response) {
  response.useChunkedEncodingByDefault = false
  response.writeHead(200, HEAD)
  response.write(present)
  streams.add(response)
  response.on('close', () => streams.delete(response))
}

async function publish (request, response) {
  const pieces = []
  for await (const piece of request) pieces.push(piece)
  present = event(Buffer.concat(pieces).toString())
  for (const stream of streams) stream.write(present)
  response.end('told')
}

const server = createServer((request, response) =>
  request.method === 'POST' ? publish(request, response) : stream(response)
)
server.listen({ host: '127.0.0.1', port: process.env.PORT, backlog: 4096 })
