// Sends with one SDK, which it is given nothing but a host and a key: node send.mjs SDK URL KEY table|many [COUNT]
// "table" makes each call of the SDK's public API once; "many" tracks COUNT events and waits until the SDK has let go of them.
const [sdk, url, key, what, count = '0'] = process.argv.slice(2)
const at = new Date('2025-01-15T10:30:00.250Z')
const who = { userId: 'user_1', timestamp: at }
const numbers = Array.from({ length: Number(count) }, (_, number) => number)

const senders = {
  async segment() {
    const { Analytics } = await import('@segment/analytics-node')
    const analytics = new Analytics({ writeKey: key, host: url, flushAt: what === 'many' ? 10 : 15, flushInterval: 200 })
    analytics.on('error', (error) => console.error('segment', error))
    if (what === 'many') for (const number of numbers) analytics.track({ userId: 'u', event: `many-${number}` })
    else calls(analytics)
    await analytics.closeAndFlush({ timeout: 60000 })
  },
  async rudder() {
    const { default: RudderAnalytics } = await import('@rudderstack/rudder-sdk-node')
    const settings = { dataPlaneUrl: url, flushAt: what === 'many' ? 10 : 20, flushInterval: 200, retryCount: 8, logLevel: 'error' }
    const analytics = new RudderAnalytics(key, settings)
    const sent = []
    const call = (kind, message) => sent.push(new Promise((done) => analytics[kind](message, done)))
    if (what === 'many') for (const number of numbers) call('track', { userId: 'u', event: `many-${number}` })
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
    if (what === 'many') for (const number of numbers) posthog.capture({ distinctId: 'u', event: `many-${number}` })
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
