// A site of pages, and a page in a headless Chromium that looks at it: what the scripts for pages share.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import puppeteer from 'puppeteer-core'

const packages = join(dirname(fileURLToPath(import.meta.url)), 'node_modules')

// Serves `body` as the page /, and the packages' files beside it, from 127.0.0.1:port.
export async function serve(body, port) {
  const site = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, 'http://site').pathname)
    try {
      const content = path === '/' ? `<!doctype html><title>Pricing</title>${body}` : await readFile(join(packages, path))
      response.writeHead(200, { 'content-type': path === '/' ? 'text/html' : 'text/javascript' })
      response.end(content)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((listening) => site.listen(port, '127.0.0.1', listening))
  return site
}

// A page in a context of its own in the Chromium at this address (chromium.mjs), which prints what it says; and what closes it.
export async function open(address) {
  const browser = await puppeteer.connect({ browserWSEndpoint: address, protocolTimeout: 60000 })
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  page.on('console', (message) => console.log('page:', message.text()))
  page.on('pageerror', (error) => console.log('page error:', error.message))
  page.on('requestfailed', (request) => console.log('failed:', request.url(), request.failure()?.errorText))
  const close = async () => {
    await context.close()
    await browser.disconnect()
  }
  return { page, close }
}
