// Returns what keeps people from using a page: WCAG 2.2 A and AA, as far as a page can tell of itself.
(() => {
  const found = [], all = selector => Array.from(document.querySelectorAll(selector))
  const seen = at => at.checkVisibility({ visibilityProperty: true })
  const name = at => at.outerHTML.slice(0, 80)
  if (!document.documentElement.lang) found.push("no language")
  if (!document.title.trim()) found.push("no title")
  if (all("h1").length !== 1) found.push("not one h1")
  if (all("main").length !== 1) found.push("not one main")
  let level = 1
  for (const heading of all("h1, h2, h3, h4").filter(seen)) {
    const own = Number(heading.tagName[1])
    if (own > level + 1) found.push(`a level is skipped: ${name(heading)}`)
    level = own
  }
  const ids = all("[id]").map(at => at.id)
  for (const id of new Set(ids)) if (ids.filter(other => other === id).length > 1) found.push(`id ${id} is there twice`)
  for (const field of all("input:not([type=hidden]), select").filter(seen)) {
    if (!field.labels.length || !field.labels[0].textContent.trim()) found.push(`no label: ${name(field)}`)
    if (!field.autocomplete && field.type !== "text" && field.tagName === "INPUT") found.push(`no autocomplete: ${name(field)}`)
  }
  for (const control of all("button, a, summary").filter(seen)) {
    if (!control.textContent.trim()) found.push(`no name: ${name(control)}`)
    const box = control.getBoundingClientRect()
    if (control.tagName === "BUTTON" && box.height < 24) found.push(`too small: ${name(control)}`)
  }
  for (const picture of all("svg, img").filter(seen))
    if (!picture.getAttribute("aria-label") && !picture.alt && picture.getAttribute("aria-hidden") !== "true") found.push("a picture without words")
  if (all("[tabindex]").some(at => at.tabIndex > 0)) found.push("an order of its own")
  if (document.documentElement.scrollWidth > innerWidth) found.push(`wider than the screen: ${document.documentElement.scrollWidth}`)

  const parts = text => (text.match(/[\d.]+/g) || []).map(Number)
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = at => {
    for (let up = at; up; up = up.parentElement) {
      const colour = parts(getComputedStyle(up).backgroundColor)
      if (colour.length === 3 || colour[3] === 1) return colour
    }
    return [255, 255, 255]
  }
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a)
    return (high + 0.05) / (low + 0.05)
  }
  for (const at of all("body *").filter(seen)) {
    const own = Array.from(at.childNodes).some(node => node.nodeType === 3 && node.textContent.trim())
    if (!own || at.closest("svg") || at.disabled) continue
    const ratio = contrast(parts(getComputedStyle(at).color), ground(at))
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${name(at)}`)
  }
  for (const field of all("input:not([type=hidden]), select").filter(seen)) {
    const ratio = contrast(parts(getComputedStyle(field).borderTopColor), ground(field.parentElement))
    if (ratio < 3) found.push(`border ${ratio.toFixed(2)}: ${name(field)}`)
  }
  return found
})()
