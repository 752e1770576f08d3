// Sends from a page in a headless Chromium with one SDK: node browse.mjs SDK START URL QUERY_KEY COUNT CHROMIUM PORT STAYS
// START is the line that starts the SDK, as docs/sdks-js.md has it with this server's address and a key. The page is served from 127.0.0.1:PORT, another origin than the events'. The page stays until the server has STAYS of them, and is left then. Ends once the server has COUNT events; prints what the page said.
import { open, serve } from './site.mjs'

const [sdk, start, url, queryKey, count, chromium, port, stays] = process.argv.slice(2)

const pages = {
  segment: `
    <script src="/@segment/analytics-next/dist/umd/index.js"></script>
    <script>
      const { AnalyticsBrowser } = AnalyticsNext
      ${start}
      if (!location.search) send()
      async function send() {
        await analytics.page('Docs', 'Pricing')
        await analytics.track('Order Completed', { revenue: 49.99, currency: 'USD' })
        await analytics.identify('user_1', { plan: 'pro' })
        await analytics.group('acme', { seats: 3 })
        await analytics.screen('App', 'Home', { from: 'push' })
        await analytics.alias('user_1', 'old_1')
        window.sent = true
      }
    </script>`,
  posthog: `
    <script type="module">
      import posthog from '/posthog-js/dist/module.js'
      ${start}
      posthog.set_config({ opt_out_useragent_filter: true }) // or a headless browser counts as a bot
      send()
      function send() {
        posthog.capture('Order Completed', { revenue: 49.99, currency: 'USD' })
        posthog.identify('user_1', { plan: 'pro' })
        posthog.group('company', 'acme', { seats: 3 })
        posthog.alias('user_2', 'user_1')
        window.sent = true
      }
    </script>`,
  mixpanel: `
    <script type="module">
      import mixpanel from '/mixpanel-browser/dist/mixpanel.module.js'
      ${start}
      if (!location.search) {
        mixpanel.track('Order Completed', { revenue: 49.99, currency: 'USD' }, { send_immediately: true })
        mixpanel.identify('user_1')
        mixpanel.track_pageview()
        window.sent = true
      }
    </script>`,
}

const site = await serve(pages[sdk], Number(port))

async function stored() {
  const answer = await fetch(`${url}/api/v1/events/count`, { headers: { authorization: `Bearer ${queryKey}` } })
  return (await answer.json()).data.total
}

const { page, close } = await open(chromium)
try {
  await page.goto(`http://127.0.0.1:${port}/`, { timeout: 60000 })
  await page.waitForFunction('window.sent', { timeout: 60000 })
  const leave = Date.now() + 60000
  while (Date.now() < leave && (await stored().catch(() => 0)) < Number(stays)) await new Promise((again) => setTimeout(again, 100))
  await page.goto('about:blank') // what is still queued leaves as a beacon
  const until = Date.now() + 120000
  let comeBack = sdk === 'segment' ? Date.now() + 10000 : Infinity
  for (;;) {
    const total = await stored().catch(() => 0) // the server may just have been killed
    if (total >= Number(count)) break
    if (Date.now() > comeBack) {
      // What waits for another try when the page goes is kept by the browser, and sent when somebody comes back.
      await page.goto(`http://127.0.0.1:${port}/?again`, { timeout: 60000 })
      comeBack = Infinity
    }
    if (Date.now() > until) throw new Error(`only ${total} of ${count} events came`)
    await new Promise((again) => setTimeout(again, 100))
  }
} finally {
  await close()
  site.close()
}
process.exit(0)
