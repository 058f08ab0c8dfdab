/*
 * A CPU's atomic add that faults on a device-exclusive entry, against a device that wants the page
 * exclusively again; with -DDONTNEED, against MADV_DONTNEED too.
 *   -DNO_REF      the fault waits for the folio lock without a reference (undoes exclusive-fault-ref)
 *   -DNO_RECHECK  the fault restores the entry without looking at it again under its lock
 * Left out: the mmap lock (all take it for reading), the VMA, allocation and LRU, rmap and map
 * counts, access and dirty bits, the TLB of the CPU that zaps (it touches no memory), and every
 * rule but those asserted here. Whoever waits for a lock blocks instead of spinning or sleeping.
 * The device's table stands for its TLB. Only it compares the sequence count, so that
 * a flag is enough: whether the count moved since the device looked, ahead of the replacement.
 */
#define NONE 0
#define PRESENT 1
#define EXCLUSIVE 2
#define NOWHERE 2

byte pte = EXCLUSIVE, pfn = 0;
byte ref[2], memory[2];
bool ready;
bool folioLock[2], ptl, mutex;
byte tlb = NOWHERE, device = 0;
byte invalidating = 0, ended = 0;
bool invalidated;

inline lock(l) { atomic { !l -> l = true } }
inline unlock(l) { l = false }
inline put(f) { d_step { assert(ref[f] > 0); ref[f] = ref[f] - 1 } }
inline notifierBegin() { lock(mutex); d_step { invalidating++; invalidated = true; device = NOWHERE } unlock(mutex) }
inline notifierEnd() { d_step { invalidating--; invalidated = true } }

/* What was read of the entry is in k and f. */
inline takeBack(k, f, got) {
#ifdef NO_REF
  got = true;
#else
  d_step { got = (ref[f] > 0); if :: got -> ref[f] = ref[f] + 1 :: else fi }
#endif
  if
  :: got ->
    lock(folioLock[f]);
    assert(ref[f] > 0); /* else the folio was freed while its lock was waited for */
    notifierBegin();
    lock(ptl);
#ifdef NO_RECHECK
    d_step { pte = PRESENT; pfn = f }
#else
    if :: d_step { pte == k && pfn == f -> pte = PRESENT } :: else fi;
#endif
    unlock(ptl);
    unlock(folioLock[f]);
#ifndef NO_REF
    put(f);
#endif
    notifierEnd()
  :: else
  fi
}

inline fault(k, f, got) {
  if
  :: k == NONE ->
    lock(ptl);
    if :: d_step { pte == NONE -> pfn = 1; pte = PRESENT; ref[1] = 1; memory[1] = 0 } :: else fi;
    unlock(ptl)
  :: k == EXCLUSIVE -> takeBack(k, f, got)
  :: else
  fi
}

active proctype cpu() {
  byte k, f; bool got;
  ready;
  do
  :: atomic { tlb != NOWHERE -> assert(ref[tlb] > 0); memory[tlb] = memory[tlb] + 1; break }
  :: atomic { tlb == NOWHERE -> k = pte; f = pfn; if :: k == PRESENT -> tlb = f :: else fi }
    fault(k, f, got)
  od;
  ended++
}

active proctype dev() {
  byte k, f; bool got, done;
  ready;
  do
  :: lock(mutex);
    if
    :: atomic { device != NOWHERE -> assert(ref[device] > 0); memory[device] = memory[device] + 10 }
      unlock(mutex); break
    :: else -> unlock(mutex)
    fi;
    d_step { k = pte; f = pfn }
    if
    :: k == PRESENT ->
      lock(ptl);
      d_step { got = (pte == PRESENT); f = pfn; if :: got -> ref[f] = ref[f] + 1 :: else fi }
      unlock(ptl);
      if
      :: got ->
        lock(folioLock[f]);
        invalidated = false;
        lock(ptl);
        done = false;
        if
        :: pte == PRESENT && pfn == f -> pte = NONE; tlb = NOWHERE; pte = EXCLUSIVE; done = true
        :: else
        fi;
        unlock(ptl);
        if
        :: done ->
          lock(mutex);
          if :: d_step { invalidating == 0 && !invalidated -> device = f } :: else fi;
          unlock(mutex)
        :: else
        fi;
        unlock(folioLock[f]);
        put(f)
      :: else
      fi
    :: else -> fault(k, f, got)
    fi
  od;
  ended++
}

#ifdef DONTNEED
active proctype dontneed() {
  byte f; bool had;
  ready;
  notifierBegin();
  lock(ptl);
  d_step { had = (pte != NONE); f = pfn; pte = NONE }
  tlb = NOWHERE;
  unlock(ptl);
  if :: had -> put(f) :: else fi;
  notifierEnd();
  ended++
}
#define THREADS 3
#else
#define THREADS 2
#endif

init {
  d_step { ref[0] = 1; memory[0] = 100; ready = true }
  ended == THREADS;
#ifdef DONTNEED
  assert(pte == NONE || memory[pfn] == 0 || memory[pfn] == 1 || memory[pfn] == 10 || memory[pfn] == 11)
#else
  assert(memory[pfn] == 111) /* else an update is lost */
#endif
}
