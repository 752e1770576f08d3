// Lines to paste that send an event to this server; `key` is a secret, or the name of a variable that holds one.
export const curl = (key: string): string => `curl ${location.origin}/api/v1/events \\\n  -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" \\\n  -d '{"name": "hello", "user_id": "me"}'`;

export const sdks = (key: string): [string, string][] => [
  ["Segment, in a page", `import { AnalyticsBrowser } from "@segment/analytics-next";\nconst analytics = AnalyticsBrowser.load({ writeKey: "${key}", cdnURL: "${location.origin}" });\nanalytics.track("hello");`],
  ["PostHog, in a page", `posthog.init("${key}", { api_host: "${location.origin}" });\nposthog.capture("hello");`],
  ["PostHog, in Python", `from posthog import Posthog\nposthog = Posthog("${key}", host="${location.origin}")\nposthog.capture("hello", distinct_id="me")`],
];
