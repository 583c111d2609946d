"""What the demo is made of: `story` tells what must happen, `stage` makes it happen and judges it,
`paint` draws it."""
