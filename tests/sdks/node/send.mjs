// Sends with one SDK, which it is given nothing but a host and a key: node send.mjs SDK URL KEY table|many [COUNT]
// "table" makes each call of the SDK's public API once; "many" tracks COUNT events and waits until the SDK has let go of them.
// After "many", the number of one event whose name is too long, and how many bytes of properties each event has.
const [sdk, url, key, what, count = '0', bad = '-1', bytes = '0'] = process.argv.slice(2)
const at = new Date('2025-01-15T10:30:00.250Z')
const who = { userId: 'user_1', timestamp: at }
const numbers = Array.from({ length: Number(count) }, (_, number) => number)
const name = (number) => `many-${number}${number === Number(bad) ? '-too-long'.repeat(30) : ''}`
const padding = 'x'.repeat(Number(bytes))

const senders = {
  async segment() {
    const { Analytics } = await import('@segment/analytics-node')
    const analytics = new Analytics({ writeKey: key, host: url, flushAt: what === 'many' ? 10 : 15, flushInterval: 200 })
    analytics.on('error', (error) => console.error('segment', error))
    if (what === 'many') for (const number of numbers) analytics.track({ userId: 'u', event: name(number), properties: { padding } })
    else calls(analytics)
    await analytics.closeAndFlush({ timeout: 60000 })
  },
  async rudder() {
    const { default: RudderAnalytics } = await import('@rudderstack/rudder-sdk-node')
    const settings = { dataPlaneUrl: url, flushAt: what === 'many' ? 10 : 20, flushInterval: 200, retryCount: 8, logLevel: 'error' }
    const analytics = new RudderAnalytics(key, settings)
    const sent = []
    const call = (kind, message) => sent.push(new Promise((done) => analytics[kind](message, done)))
    if (what === 'many') for (const number of numbers) call('track', { userId: 'u', event: name(number), properties: { padding } })
    else calls(Object.fromEntries(kinds.map((kind) => [kind, (message) => call(kind, message)])))
    await analytics.flush()
    const gone = setTimeout(() => process.exit(3), 60000)
    await Promise.all(sent)
    clearTimeout(gone)
  },
  async posthog() {
    const { PostHog } = await import('posthog-node')
    const fast = what === 'many' ? { flushAt: 10, fetchRetryCount: 8, fetchRetryDelay: 200 } : {}
    const posthog = new PostHog(key, { host: url, flushInterval: 200, ...fast })
    posthog.on('error', (error) => console.error('posthog', String(error)))
    if (what === 'many') for (const number of numbers) posthog.capture({ distinctId: 'u', event: name(number), properties: { padding } })
    else {
      const plain = { distinctId: 'user_1', timestamp: at }
      posthog.capture({ ...plain, event: 'Order Completed', properties: { revenue: 49.99, currency: 'USD' } })
      posthog.capture({ ...plain, event: '$pageview', properties: { $current_url: 'https://app.example/pricing' } })
      posthog.identify({ distinctId: 'user_1', properties: { plan: 'pro' } })
      posthog.alias({ distinctId: 'user_1', alias: 'anon_1' })
      posthog.captureException(new Error('broken'), 'user_1')
      posthog.groupIdentify({ groupType: 'company', groupKey: 'acme', properties: { seats: 3 }, distinctId: 'user_1' })
    }
    await posthog.shutdown(60000)
  },
  async amplitude() {
    const { createInstance, Identify, Revenue } = await import('@amplitude/analytics-node')
    const amplitude = createInstance()
    await amplitude.init(key, { serverUrl: `${url}/2/httpapi`, flushIntervalMillis: 100, flushQueueSize: 10, logLevel: 0 }).promise
    const sent = []
    const call = (method, ...given) => sent.push(amplitude[method](...given).promise)
    const user = { user_id: 'user_1', time: at.getTime() }
    if (what === 'many') for (const number of numbers) call('track', name(number), { padding }, { user_id: 'u' })
    else {
      call('track', 'Order Completed', { currency: 'USD', revenue: 49.99 }, user)
      call('identify', new Identify().set('plan', 'pro'), user)
      call('groupIdentify', 'company', 'acme', new Identify().set('seats', 3), user)
      call('revenue', new Revenue().setProductId('p1').setPrice(3.99).setQuantity(2), user)
    }
    const ends = await Promise.all(sent)
    for (const end of ends) if (end.code !== 200) console.error('amplitude', end.code, end.message)
  },
  async mixpanel() {
    const { default: Mixpanel } = await import('mixpanel')
    const mixpanel = Mixpanel.init(key, { host: new URL(url).host, protocol: 'http' })
    const seconds = at.getTime() / 1000
    // It tells its caller what went wrong, and leaves it to the caller to call again.
    const again = async (call) => {
      for (let left = 6; ; left--) {
        const error = await new Promise((done) => call((failed) => done([failed].flat().find(Boolean))))
        if (!error) return
        if (!left || String(error).includes('"code":4')) return console.error('mixpanel', String(error))
      }
    }
    if (what === 'many') {
      const event = (number) => ({ event: name(number), properties: { distinct_id: 'u', time: seconds, $insert_id: `i${number}`, padding } })
      const [alone, together] = [numbers.filter((number) => number % 2), numbers.filter((number) => number % 2 === 0)]
      for (const number of alone) await again((done) => mixpanel.track(event(number).event, event(number).properties, done))
      await again((done) => mixpanel.track_batch(together.map(event), done))
      return
    }
    await again((done) => mixpanel.track('Order Completed', { distinct_id: 'user_1', time: seconds, revenue: 49.99, currency: 'USD' }, done))
    await again((done) => mixpanel.alias('anon_1', 'user_1', done))
    await again((done) => mixpanel.people.set('user_1', { plan: 'pro' }, done))
    await again((done) => mixpanel.groups.set('company', 'acme', { seats: 3 }, done))
    await again((done) => mixpanel.track_batch([{ event: 'In A Batch', properties: { distinct_id: 'user_1', time: seconds } }], done))
  },
}

const kinds = ['track', 'identify', 'page', 'screen', 'group', 'alias']

function calls(analytics) {
  analytics.track({ ...who, event: 'Order Completed', properties: { revenue: 49.99, currency: 'USD' } })
  analytics.identify({ ...who, anonymousId: 'anon_1', traits: { plan: 'pro' } })
  analytics.page({ ...who, name: 'Pricing', category: 'Docs', properties: { path: '/pricing' } })
  analytics.screen({ ...who, name: 'Home', properties: { from: 'push' } })
  analytics.group({ ...who, groupId: 'acme', traits: { seats: 3 } })
  analytics.alias({ ...who, previousId: 'anon_1' })
}

await senders[sdk]()
process.exit(0)
