// A headless Chromium for many scripts to open pages in: node chromium.mjs EXECUTABLE. Prints its address once it runs, and ends it
// once stdin is closed, also because whoever started this has died.
import puppeteer from 'puppeteer-core'

const browser = await puppeteer.launch({
  executablePath: process.argv[2],
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-extensions', '--no-first-run'],
  timeout: 60000,
  protocolTimeout: 60000,
})
console.log(browser.wsEndpoint())
process.stdin.resume()
await new Promise((closed) => process.stdin.on('close', closed))
await browser.close()
