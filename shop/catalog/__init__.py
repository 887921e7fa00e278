"""An operator's own products: from a spreadsheet or Shopify's export into the shop, and back.

Reading (`reading`) makes plain values of a file, and knows neither database nor Flask; planning
(`planning`) finds how they differ from what is in the shop; applying (`applying`) makes it so.
"""
