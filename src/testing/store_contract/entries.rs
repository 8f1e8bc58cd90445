//! What is stored, and what is compared.

use super::{
    Checked,
    bench::{Bench, LIFE, expect},
};

pub(super) async fn round_trip(bench: Bench) -> Checked {
    let names = bench.names(["token", "lease", "failure", "other"]);
    let [token, lease, _, other] = &names;
    for name in [other, token, lease] {
        bench.store(name, name.as_str().as_bytes(), LIFE).await?;
    }
    for names in [names.clone(), {
        let [a, b, c, d] = names.clone();
        [c, a, d, b]
    }] {
        for (name, found) in names.iter().zip(bench.load_all(&names).await?) {
            let (found, stored) = (found.map(|entry| entry.bytes.clone()), !name.as_str().ends_with("failure"));
            let expected = stored.then(|| name.as_str().as_bytes().to_vec());
            expect(found == expected, format!("the entry at the place of {name} is not the one that was put"))?;
        }
    }
    expect(bench.load_all(&[]).await?.is_empty(), "load returned entries for no names")
}

pub(super) async fn absent(bench: Bench) -> Checked {
    let name = bench.name();
    bench.expect_stored(&name, None, "before the first put").await?;
    expect(!bench.remove(&name, b"a").await?, "remove returned true")
}

pub(super) async fn apart(bench: Bench) -> Checked {
    let names = bench.names(["token", "lease", "t", "tokens"]);
    let [token, ..] = &names;
    bench.store(token, b"one", LIFE).await?;
    for other in &names[1..] {
        bench.expect_stored(other, None, "after a put under another name").await?;
        bench.store(other, b"other", LIFE).await?;
        bench.expect_stored(token, Some(b"one"), "after a put under another name").await?;
        expect(bench.remove(other, b"other").await?, "remove returned false")?;
        bench.expect_stored(token, Some(b"one"), "after a remove under another name").await?;
    }
    let another_token = bench.name();
    bench.expect_stored(&another_token, None, "after a put for another token").await
}

pub(super) async fn put_first(bench: Bench) -> Checked {
    let name = bench.name();
    bench.store(&name, b"first", LIFE).await?;
    for again in [&b"second"[..], b"first"] {
        expect(!bench.put(&name, None, again).await?, "put returned true although something was stored")?;
        bench.expect_stored(&name, Some(b"first"), "after a put that was refused").await?;
    }
    Ok(())
}

pub(super) async fn put_next(bench: Bench) -> Checked {
    let name = bench.name();
    let refused = |stored: bool| expect(!stored, "put returned true although the old value differs");
    refused(bench.put(&name, Some(b"first"), b"second").await?)?;
    bench.expect_stored(&name, None, "after a put with an old value where nothing is stored").await?;
    bench.store(&name, b"first", LIFE).await?;
    for old in [&b"other"[..], b"firs", b"first ", b"First", b"first\0", b"second"] {
        refused(bench.put(&name, Some(old), b"second").await?)?;
        bench.expect_stored(&name, Some(b"first"), "after a put that was refused").await?;
    }
    for (old, new) in [(&b"first"[..], &b"second"[..]), (b"second", b"second"), (b"second", b"3")] {
        let stored = bench.put(&name, Some(old), new).await?;
        expect(stored, "put returned false although the old value is stored")?;
        bench.expect_stored(&name, Some(new), "after a put").await?;
    }
    refused(bench.put(&name, Some(b"first"), b"fourth").await?)
}

pub(super) async fn remove(bench: Bench) -> Checked {
    let name = bench.name();
    bench.store(&name, b"first", LIFE).await?;
    for old in [&b"other"[..], b"firs", b"first ", b"First"] {
        expect(!bench.remove(&name, old).await?, "remove returned true although the old value differs")?;
        bench.expect_stored(&name, Some(b"first"), "after a remove that was refused").await?;
    }
    expect(bench.remove(&name, b"first").await?, "remove returned false although it is stored")?;
    bench.expect_stored(&name, None, "after a remove").await?;
    expect(!bench.remove(&name, b"first").await?, "a second remove returned true")?;
    bench.store(&name, b"second", LIFE).await
}

pub(super) async fn arbitrary(bench: Bench) -> Checked {
    let every: Vec<u8> = (0..=255).collect();
    for bytes in [&b"\0"[..], b"\n", b" a ", b"null", b"a\0b", b"'\"\\%s{}", b"\xff\xfe\xc3\x28", b"42", &every] {
        let name = bench.name();
        bench.store(&name, bytes, LIFE).await?;
        bench.expect_stored(&name, Some(bytes), "after a put").await?;
        let twice = [bytes, bytes].concat();
        let stored = bench.put(&name, Some(bytes), &twice).await?;
        expect(stored, format!("put returned false for the old value \"{}\"", bytes.escape_ascii()))?;
        bench.expect_stored(&name, Some(&twice), "after a put").await?;
    }
    Ok(())
}

pub(super) async fn big(bench: Bench) -> Checked {
    let name = bench.name();
    let [one, other] = [b'a', b'b'].map(|last| [&[b'.'; 256 * 1024 - 1][..], &[last]].concat());
    bench.store(&name, &one, LIFE).await?;
    bench.expect_stored(&name, Some(&one), "after a put").await?;
    expect(!bench.put(&name, Some(&other), b"no").await?, "the last byte is not compared")?;
    expect(bench.put(&name, Some(&one), &other).await?, "put returned false")?;
    bench.expect_stored(&name, Some(&other), "after a put").await?;
    expect(bench.remove(&name, &other).await?, "remove returned false")
}
