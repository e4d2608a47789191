// Watches one page from its first instruction on, in a JavaScript world of its own: the page does not see it, and what the page does to its own prototypes
// does not reach here. Only the DOM is shared; what can be clobbered there (`document.querySelector`
// by `<img name=querySelector>`, `form.id`) is asked of the prototypes.
//
// It reports raw entries to whoever asks for the next ones, and decides nothing. Times are the page's own, in milliseconds since its time origin.
(config => {
  'use strict';
  // Elements with an id and frames with a name look like globals too, but are none of its own.
  if (window !== window.top || Object.hasOwn(globalThis, config.api)) return;
  const performance = window.performance;
  const getter = (type, name) => {
    const { get } = Object.getOwnPropertyDescriptor(type.prototype, name);
    return object => get.call(object);
  };
  const localName = getter(Element, 'localName');
  const parentElement = getter(Node, 'parentElement');
  const nodeType = getter(Node, 'nodeType');
  const readyState = getter(Document, 'readyState');
  const attribute = (element, name) => Element.prototype.getAttribute.call(element, name) || '';
  const rectOf = element => Element.prototype.getBoundingClientRect.call(element);
  const query = selector => Document.prototype.querySelector.call(document, selector);

  const cut = (text, length) => String(text ?? '').slice(0, length);

  // A short CSS path, for people: it need not be unique.
  const path = node => {
    try {
      let element = node && nodeType(node) === Node.ELEMENT_NODE ? node : node && parentElement(node);
      const parts = [];
      while (element && parts.length < 4) {
        const id = attribute(element, 'id');
        const classes = attribute(element, 'class').trim().split(/\s+/).filter(Boolean).slice(0, 2);
        parts.unshift(cut(localName(element) + (id ? '#' + id : classes.map(name => '.' + name).join('')), 60));
        if (id) break;
        element = parentElement(element);
      }
      return cut(parts.join(' > '), config.text);
    } catch {
      return '';
    }
  };

  // A page can make entries without end.
  const left = { shift: 10000, lcp: 1000, task: 10000, event: 5000, error: 200, other: 1000 };
  const take = (kind, entry) => (left[kind]-- > 0 ? [entry] : []);

  const resources = new Map();
  const raw = {
    paint: e => (e.name === 'first-contentful-paint' ? take('other', { k: 'fcp', t: e.startTime }) : []),
    'largest-contentful-paint': e =>
      take('lcp', { k: 'lcp', t: e.startTime, size: e.size, url: cut(e.url, 2000), element: path(e.element) }),
    'layout-shift': e =>
      take('shift', {
        k: 'shift',
        t: e.startTime,
        score: e.value,
        recent_input: e.hadRecentInput,
        sources: Array.from(e.sources || [])
          .slice(0, 3)
          .map(source => path(source.node)),
      }),
    longtask: e => take('task', { k: 'task', t: e.startTime, d: e.duration }),
    // Only what belongs to an interaction: the browser moves its idle pointer too.
    event: e =>
      e.interactionId > 0
        ? take('event', {
            k: 'event',
            id: e.interactionId,
            t: e.startTime,
            d: e.duration,
            started: e.processingStart,
            done: e.processingEnd,
            target: path(e.target),
          })
        : [],
    resource: e => {
      if (resources.size < 3000) resources.set(cut(e.name, 2000), [e.startTime, e.requestStart, e.responseEnd]);
      return [];
    },
  };
  raw['first-input'] = raw.event;

  const rawOf = list => list.flatMap(entry => (raw[entry.entryType] ? raw[entry.entryType](entry) : []));
  const queue = [];
  let waiting = null;
  const drain = () => queue.splice(0, 2000);
  const report = entries => {
    queue.push(...entries);
    if (!waiting || !queue.length) return;
    waiting(JSON.stringify(drain()));
    waiting = null;
  };

  const observers = [];
  for (const [type, options] of [
    ['largest-contentful-paint'],
    ['layout-shift'],
    ['paint'],
    ['longtask'],
    ['event', { durationThreshold: 16 }],
    ['first-input'],
    ['resource'],
  ]) {
    try {
      const observer = new PerformanceObserver(list => report(rawOf(list.getEntries())));
      observer.observe({ type, buffered: true, ...options });
      observers.push(observer);
    } catch {
      // A browser that does not know this kind has none to tell.
    }
  }

  // What errors.js hands on.
  window.addEventListener(config.errors, event => report(take('error', { k: 'error', message: cut(event.detail, config.text) })), true);

  // What is there and wholly transparent can be acted on: controls are made so.
  const visible = (element, opacityProperty = false) => {
    const rect = rectOf(element);
    const asked = { visibilityProperty: true, opacityProperty };
    return rect.width > 0 && rect.height > 0 && Element.prototype.checkVisibility.call(element, asked);
  };

  // Consent is given as soon as it can be, and once more where that did nothing: a banner is often there before its handlers. So the second click waits for the
  // load event. A click by script and not by input, as input would end the search for the largest paint.
  if (config.consent) {
    let clicked = null;
    let again = 0;
    const watch = new MutationObserver(() => {});
    // Handlers run within the call.
    const click = element => {
      watch.observe(document, { attributes: true, characterData: true, childList: true, subtree: true });
      HTMLElement.prototype.click.call(element);
      const changed = watch.takeRecords().length > 0;
      watch.disconnect();
      return changed;
    };
    const timer = setInterval(() => {
      try {
        if (clicked && !visible(clicked, true)) return clearInterval(timer);
        if (clicked && (performance.now() < again || readyState(document) !== 'complete')) return;
        const element = query(config.consent);
        if (!element || !visible(element, true)) return;
        report([{ k: 'consent', t: performance.now() }]);
        if (click(element) || clicked) clearInterval(timer);
        clicked = element;
        again = performance.now() + 500;
      } catch {
        clearInterval(timer);
      }
    }, 50);
  }

  const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
  const frame = () => new Promise(resolve => requestAnimationFrame(() => resolve()));
  // Two frames: what was asked for until now has been painted, and told to observers. Whether they came in time.
  const frames = ms => {
    const both = frame().then(frame).then(() => sleep(0)).then(() => true);
    return Promise.race([both, sleep(ms).then(() => false)]);
  };

  const api = {
    // Entries, as soon as there are any.
    next: () => new Promise(resolve => (queue.length ? resolve(JSON.stringify(drain())) : (waiting = resolve))),
    now: () => JSON.stringify(performance.now()),
    async flush(ms) {
      const framed = await frames(ms);
      const entries = queue.splice(0).concat(observers.flatMap(observer => rawOf(observer.takeRecords())));
      const [navigation] = performance.getEntriesByType('navigation');
      return JSON.stringify({
        now: performance.now(),
        framed,
        first_byte: navigation ? navigation.responseStart : 0,
        entries,
      });
    },
    resource: url => JSON.stringify(resources.get(url) || null),
    // Where to click: the middle of the element, once it is there and nothing else lies over it.
    async find(selector, ms) {
      const until = performance.now() + ms;
      let why = 'is not there';
      for (;;) {
        const element = query(selector);
        if (element && !visible(element)) why = 'is not visible';
        if (element && visible(element)) {
          let rect = rectOf(element);
          const off = () => rect.top < 0 || rect.left < 0 || rect.bottom > innerHeight || rect.right > innerWidth;
          if (off()) {
            Element.prototype.scrollIntoView.call(element, { block: 'center', inline: 'center', behavior: 'instant' });
            await frames(500);
            rect = rectOf(element);
          }
          const x = rect.left + rect.width / 2;
          const y = rect.top + rect.height / 2;
          const over = Document.prototype.elementFromPoint.call(document, x, y);
          if (over && (over === element || Node.prototype.contains.call(element, over) || Node.prototype.contains.call(over, element)))
            return JSON.stringify({ x, y, now: performance.now() });
          why = over ? 'is covered by ' + path(over) : 'is out of sight';
        }
        if (performance.now() >= until) return JSON.stringify({ why });
        await sleep(50);
      }
    },
    focus(selector) {
      const element = query(selector);
      if (element) HTMLElement.prototype.focus.call(element);
      return JSON.stringify({ now: performance.now() });
    },
  };
  Object.defineProperty(globalThis, config.api, { value: api });
})
