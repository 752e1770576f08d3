// Tracks events from a page in a headless Chromium: node track.mjs SDK WAY START NAMES BYTES CHROMIUM PORT URL QUERY_KEY COUNT
// START is the lines that start the SDK, as docs/sdks-js.md has them with this server's address and a key. Each of NAMES, a JSON array, is
// tracked, with BYTES of padding. WAY is how they leave: "fetch" and "get" from a page that stays, "beacon" when it goes. Ends once the
// server has COUNT of them, or after 20 s; prints what the page said.
import { open, serve } from './site.mjs'

const [sdk, way, start, names, bytes, chromium, port, url, queryKey, count] = process.argv.slice(2)

const load = {
  amplitude: '<script src="/@amplitude/analytics-browser/lib/scripts/amplitude-min.umd.js"></script><script>',
  mixpanel: `<script type="module">
    import mixpanel from '/mixpanel-browser/dist/mixpanel.module.js'`,
  rudderstack: `<script src="/@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js"></script>
    <script>
      const { RudderAnalytics } = rudderanalytics`,
}
// What is not in START: how the events leave, and that they leave soon.
const ways = {
  amplitude: {
    fetch: '',
    beacon: 'addEventListener("pagehide", () => { amplitude.setTransport("beacon"); amplitude.flush() })',
  },
  mixpanel: { fetch: '', get: '', beacon: '' },
  rudderstack: { fetch: '', beacon: '' },
}
const options = {
  amplitude: (line) => line.replace('remoteConfig:', `autocapture: false, flushIntervalMillis: ${way === 'beacon' ? 60000 : 300}, remoteConfig:`),
  mixpanel: (line) =>
    line.replace(
      '{ api_host:',
      way === 'get' ? '{ api_method: "GET", batch_requests: false, api_host:' : `{ batch_flush_interval_ms: ${way === 'beacon' ? 60000 : 300}, api_host:`,
    ),
  rudderstack: (line) =>
    line.replace(
      '{ configUrl:',
      way === 'beacon'
        ? '{ useBeacon: true, beaconQueueOptions: { flushQueueInterval: 60000 }, configUrl:'
        : '{ queueOptions: { batch: { enabled: true, maxItems: 10, flushInterval: 300 }, minRetryDelay: 200, timerScaleFactor: 1 }, configUrl:',
    ),
}
const track = { amplitude: 'amplitude.track(name, { padding })', mixpanel: 'mixpanel.track(name, { padding })', rudderstack: 'analytics.track(name, { padding })' }
const body = `${load[sdk]}
  ${options[sdk](start)}
  ${ways[sdk][way]}
  const padding = 'x'.repeat(${Number(bytes)})
  function send() {
    for (const name of ${names}) ${track[sdk]}
    window.sent = true
  }
  if (!location.search) ${sdk === 'mixpanel' && way === 'beacon' ? 'setTimeout(send, 1500)' : 'send()'} // or the SDK's first look finds some of them
</script>`

// How many events the SDK keeps in the page's storage until it sends them.
const kept = (name) => `Object.entries(localStorage).filter(([name]) => ${name}.test(name)).map(([, queue]) => JSON.parse(queue).length)[0]`
const queues = { amplitude: '/^AMP_unsent_/', mixpanel: '/^__mpq_.*_ev$/', rudderstack: '/^rudder_beacon_.*batchQueue$/' }
const site = await serve(body, Number(port))
const stored = async () => {
  const answer = await fetch(`${url}/api/v1/events/count?name=t-*`, { headers: { authorization: `Bearer ${queryKey}` } })
  return (await answer.json()).data.total
}
const { page, close } = await open(chromium)
try {
  await page.goto(`http://127.0.0.1:${port}/`, { timeout: 60000 })
  await page.waitForFunction('window.sent', { timeout: 60000 })
  if (way === 'beacon') {
    // They leave with what they have kept, and take a while to keep it: what was tracked before an SDK is ready is lost if the page goes.
    await page.waitForFunction(`${kept(queues[sdk])} >= ${JSON.parse(names).length}`, { timeout: 60000 })
    await page.goto('about:blank')
  }
  const until = Date.now() + 20000
  let comeBack = way === 'beacon' ? Infinity : Date.now() + 10000
  while ((await stored().catch(() => 0)) < Number(count) && Date.now() < until) {
    if (Date.now() > comeBack) {
      await page.goto(`http://127.0.0.1:${port}/?again`, { timeout: 60000 }) // what is kept for another try
      comeBack = Infinity
    }
    await new Promise((again) => setTimeout(again, 100))
  }
} finally {
  await close()
  site.close()
}
process.exit(0)
