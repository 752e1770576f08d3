"""A realistic set of events, made inside the engine by one SELECT over numbers(): the same rows for every side of a benchmark.

90 days from 2026-08-25; names (50) and users (one for 50 events) are Zipf-like; five tags, some 200 bytes of properties with six
strings and three numbers, a context of some 200 bytes. Events arrive in order, each up to five seconds after its own time,
a hundred to an append of the log. One event in twenty belongs to another project or to `test`.
"""

DAYS = 90
START_MS = 1_787_616_000_000  # 2026-08-25: the 90 days touch four months
PROJECT = "bench"
NAMES = (
    *("page.viewed", "button.clicked", "search.run", "product.viewed", "cart.updated", "user.signup", "order.placed"),
    *(f"feature_{number}.used" for number in range(43)),
)
PLANS = ("free", "pro", "team", "enterprise")
REGIONS = ("us-east", "us-west", "eu-west", "eu-central", "ap-south", "sa-east")
BROWSERS = ("Chrome", "Safari", "Firefox", "Edge", "Opera", "Samsung Internet", "Brave", "Other")


def _array(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _draw(seed: int) -> str:
    """A number in 0..1 that depends on the row alone."""
    return f"(cityHash64(number, {seed}) % 1000003 / 1000003)"


def _of(values: tuple[str, ...], seed: int) -> str:
    return f"{_array(values)}[1 + cityHash64(number, {seed}) % {len(values)}]"


def _zipf(count: int, seed: int) -> str:
    """1..count, the k-th about as often as 1/k."""
    return f"least({count}, toUInt32(pow({count} + 1, {_draw(seed)})))"


def rows(first: int, count: int, of: int, start_ms: int = START_MS, span_ms: int = DAYS * 86_400_000) -> str:
    """A SELECT of the rows first..first+count out of `of` that 90 days or another span hold, with a column for each field of an event."""
    users = max(100, of // 50)
    received = f"({start_ms} + toInt64(intDiv(intDiv(number, 100) * 100 * {span_ms}, {of})))"
    return f"""
    WITH
        toUInt64({received}) AS received_ms,
        {_zipf(users, 2)} AS user,
        cityHash64(user, 77) AS trait,
        {_array(PLANS)}[1 + trait % 4] AS plan,
        {_array(REGIONS)}[1 + intDiv(trait, 7) % 6] AS region,
        {_array(BROWSERS)}[1 + intDiv(trait, 64) % 8] AS browser,
        ['desktop', 'mobile', 'tablet'][1 + intDiv(trait, 1024) % 3] AS device,
        concat('campaign_', toString({_zipf(100, 3)})) AS campaign,
        concat('/products/', toString({_zipf(2000, 4)}), '/view') AS path,
        concat('blog-post-', toString({_zipf(5000, 5)})) AS referrer,
        {_of(("google_ads", "newsletter", "organic", "partner", "direct"), 6)} AS channel,
        concat('variant_', toString(cityHash64(number, 7) % 4)) AS variant,
        ['USD', 'EUR', 'GBP'][1 + intDiv(trait, 5) % 3] AS currency,
        concat('sku-', toString({_zipf(3000, 8)})) AS sku,
        round(exp(1 + 4 * {_draw(9)}), 2) AS amount,
        1 + cityHash64(number, 10) % 9 AS quantity,
        cityHash64(number, 11) % 5000 AS took_ms,
        cityHash64(intDiv(trait, 3) % 400) AS agent,
        cityHash64(intDiv(number, 100), 12) % 18014398509481884 + number % 100 AS event_tail,
        bitShiftLeft(received_ms, 20) + number % 100 AS event_position
    SELECT
        event_position, event_tail,
        if(number % 20 = 7, 'other', '{PROJECT}') AS event_project,
        if(number % 40 = 27, 'test', 'live') AS event_mode,
        {_of(("flux", "solute"), 13)} AS event_source,
        {_array(NAMES)}[{_zipf(len(NAMES), 1)}] AS event_name,
        toInt64(received_ms) - toInt64(5000 * pow({_draw(14)}, 3)) AS event_timestamp_ms,
        concat('user_', toString(user)) AS event_user_id,
        if(number % 3 = 0, NULL, amount) AS event_value,
        concat('{{"path":"', path, '","referrer":"', referrer, '","channel":"', channel, '","variant":"', variant,
            '","currency":"', currency, '","sku":"', sku, '","amount":', toString(amount), ',"quantity":',
            toString(quantity), ',"took_ms":', toString(took_ms), ',"first_visit":', if(number % 9 = 0, 'true', 'false'),
            ',"experiment":{{"name":"checkout","arm":', toString(number % 2), '}}}}') AS event_properties,
        concat('{{"library":{{"name":"analytics.js","version":"4.', toString(trait % 9), '.1"}},"locale":"',
            ['en-US', 'en-GB', 'de-DE', 'fr-FR', 'ja-JP'][1 + trait % 5], '","timezone":"Europe/Berlin","screen":{{"width":',
            toString(1200 + 80 * (trait % 9)), ',"height":', toString(800 + 40 * (trait % 7)),
            '}},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) Build/', hex(agent), ' Safari/537.36"}}') AS event_context,
        map('plan', plan, 'region', region, 'browser', browser, 'device', device, 'campaign', campaign) AS event_tags,
        map('path', path, 'referrer', referrer, 'channel', channel, 'variant', variant, 'currency', currency, 'sku', sku)
            AS event_labels,
        map('amount', amount, 'quantity', toFloat64(quantity), 'took_ms', toFloat64(took_ms)) AS event_numbers
    FROM numbers({first}, {count})
    """
