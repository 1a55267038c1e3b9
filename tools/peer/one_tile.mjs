// SPDX-License-Identifier: GPL-2.0-or-later
// The peer's side of one_tile.py: answers prompts with a picture through the npm package @fugood/llama.node of the folder PAGEREEL_PEER.
// usage: node one_tile.mjs MODEL MMPROJ < prompts      a line is {"picture", "prompt" (with <__media__>), "n"}; prints {"text", "tokens"}
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const require = createRequire(`${process.env.PAGEREEL_PEER}/`)
const { loadModel } = require('@fugood/llama.node')
const [model, mmproj] = process.argv.slice(2)
const context = await loadModel({ model, n_ctx: 2048, n_gpu_layers: 0, n_threads: 2, use_mmap: true })
if (!(await context.initMultimodal({ path: mmproj, use_gpu: false }))) throw new Error(`${mmproj}: not taken`)
for await (const line of createInterface({ input: process.stdin })) {
  const { picture, prompt, n } = JSON.parse(line)
  const result = await context.completion({ prompt, media_paths: [picture], n_predict: n, temperature: 0, top_k: 1, penalty_repeat: 1, stop: [] }, () => {})
  console.log(JSON.stringify({ text: result.text, tokens: result.tokens_evaluated }))
}
process.exit(0)
