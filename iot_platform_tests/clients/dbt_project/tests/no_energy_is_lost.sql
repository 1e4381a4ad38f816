SELECT a.kWh, b.kWh
FROM (SELECT sum(kWh) AS kWh FROM {{ ref('usage') }}) AS a
CROSS JOIN (SELECT sum(kWh) AS kWh FROM {{ ref('usage_daily') }}) AS b
WHERE abs(a.kWh - b.kWh) > 1e-9
