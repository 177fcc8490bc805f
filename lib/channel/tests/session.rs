//! Sessions between a client and smrd who both keep to the protocol, and what
//! each refuses when asked to break it.

mod pair;

use pair::{NOW, Taken, done, introduction, join, joined, keys, ping, take, welcome, welcomed};
use rand_core::OsRng;
use smr_channel::handshake::{HandshakeError, Initiator, Introduction, Responder, Suite};
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_channel::session::{
    Event, MAX_CHUNK, OVERDUE_AFTER, RENEW_AFTER, SessionError, reply_hash, request_hash,
};

#[test]
fn both_suites_carry_requests_and_replies() {
    for suite in Suite::ALL {
        let mut pair = joined(suite);
        assert_eq!(pair.client.id(), pair.server.id());
        assert!(pair.server.is_my_turn() && !pair.client.is_my_turn());
        let frames = pair.reply(&welcome(), &[]);
        let taken = take(&mut pair.client, &frames).unwrap();
        let warrant = taken.warrant.unwrap();
        assert_eq!(taken.head, welcome());
        assert_eq!(warrant.number, 0);
        assert_eq!(
            warrant.request,
            request_hash(&introduction().encode().unwrap(), &[])
        );
        for _ in 0..3 {
            pair.exchange().unwrap();
        }
    }
}

#[test]
fn smrd_chooses_among_what_is_offered() {
    let keys = keys();
    let offers: [(&[Suite], &[Suite], Option<Suite>); 5] = [
        (&Suite::ALL, &Suite::ALL, Some(Suite::ChaChaPoly)),
        (
            &Suite::ALL,
            &[Suite::AesGcm, Suite::ChaChaPoly],
            Some(Suite::AesGcm),
        ),
        (&[Suite::AesGcm], &Suite::ALL, Some(Suite::AesGcm)),
        (&[Suite::AesGcm], &[Suite::ChaChaPoly], None),
        (&Suite::ALL, &[], None),
    ];
    for (offered, preferred, expected) in offers {
        let (client, frame) = Initiator::start(keys.identity(), offered, &mut OsRng).unwrap();
        let accepted = Responder::accept(&keys, preferred, &frame, &mut OsRng);
        match expected {
            Some(suite) => {
                let (server, frame) = accepted.unwrap();
                assert_eq!(server.suite(), suite);
                assert_eq!(client.answer(&frame).unwrap().0.suite(), suite);
            }
            None => assert_eq!(accepted.err(), Some(HandshakeError::NoSuite)),
        }
    }
}

#[test]
fn no_suite_or_one_twice_cannot_be_offered() {
    let keys = keys();
    for suites in [&[][..], &[Suite::AesGcm, Suite::AesGcm]] {
        assert!(Initiator::start(keys.identity(), suites, &mut OsRng).is_err());
    }
}

#[test]
fn an_account_record_travels_in_the_introduction() {
    let enrol = |size| Introduction::Enrol {
        record: vec![7; size],
        signature: vec![8; 70],
    };
    assert!(join(&keys(), &Suite::ALL, &enrol(40 * 1024)).is_ok());
    assert!(join(&keys(), &Suite::ALL, &enrol(MAX_CHUNK - 77)).is_ok());
    let refused = join(&keys(), &Suite::ALL, &enrol(MAX_CHUNK - 76));
    assert_eq!(refused.err(), Some(HandshakeError::Misused));
}

#[test]
fn bodies_stream_and_their_cutting_does_not_show() {
    let body: Vec<u8> = (0..400_000u32).map(|n| (n % 251) as u8).collect();
    for size in [1000, 4096, MAX_CHUNK] {
        for suite in Suite::ALL {
            let mut pair = welcomed(suite);
            let parts: Vec<&[u8]> = body.chunks(size).collect();
            let frames = pair.request(&ping(), &parts);
            let taken = take(&mut pair.server, &frames).unwrap();
            let expected = Taken {
                head: ping(),
                body: body.clone(),
                warrant: None,
            };
            assert_eq!(taken, expected);
            let frames = pair.reply(&done(), &parts);
            let taken = take(&mut pair.client, &frames).unwrap();
            assert_eq!(taken.body, body);
            let warrant = taken.warrant.unwrap();
            assert_eq!(warrant.request, request_hash(&ping(), &body));
            assert_eq!(warrant.reply, reply_hash(&done(), &body));
            assert_eq!(
                (warrant.number, warrant.time, &warrant.session),
                (2, NOW, pair.client.id())
            );
            assert!(warrant.verify(&pair.keys.identity().warrant).is_ok());
        }
    }
}

#[test]
fn nothing_said_can_be_read_on_the_wire() {
    let mut pair = welcomed(Suite::AesGcm);
    let words = b"meet me at the usual place, bring the dossier";
    let mut sent = pair.request(words, &[words, words]);
    take(&mut pair.server, &sent).unwrap();
    sent.extend(pair.reply(words, &[words]));
    for frame in &sent {
        for window in words.windows(8) {
            assert!(!frame.windows(8).any(|w| w == window));
        }
    }
    // equal chunks never look alike
    assert_ne!(sent[1], sent[2]);
}

#[test]
fn sessions_between_the_same_two_share_nothing() {
    let keys = keys();
    let (mut a, _) = join(&keys, &Suite::ALL, &introduction()).unwrap();
    let (b, mut other) = join(&keys, &Suite::ALL, &introduction()).unwrap();
    assert_ne!(a.id(), b.id());
    let frame = other.send_head(&welcome()).unwrap();
    assert_eq!(a.receive(&frame), Err(SessionError::Forged));
}

#[test]
fn speaking_out_of_turn_ends_the_session() {
    type Act = fn(&mut pair::Pair) -> Result<(), SessionError>;
    let acts: [Act; 12] = [
        |p| p.server.send_head(&done()).map(drop),
        |p| p.server.send_body(b"x").map(drop),
        |p| p.server.close_reply(&p.keys, NOW).map(drop),
        |p| p.server.close_request().map(drop),
        |p| p.client.send_body(b"x").map(drop),
        |p| p.client.close_request().map(drop),
        |p| p.client.close_reply(&p.keys, NOW).map(drop),
        |p| {
            p.client.send_head(&ping())?;
            p.client.send_head(&ping()).map(drop)
        },
        |p| {
            p.client.send_head(&ping())?;
            p.client.close_reply(&p.keys, NOW).map(drop)
        },
        |p| {
            p.request(&ping(), &[]);
            p.client.send_head(&ping()).map(drop)
        },
        |p| {
            p.server
                .answer_renewal(&Request::Ping, &mut OsRng)
                .map(drop)
        },
        |p| p.server.renew(&mut OsRng).map(drop),
    ];
    for (at, act) in acts.into_iter().enumerate() {
        let mut pair = welcomed(Suite::ChaChaPoly);
        assert_eq!(act(&mut pair), Err(SessionError::Misused), "act {at}");
        let over = [pair.client.is_over(), pair.server.is_over()];
        assert_eq!(over.iter().filter(|o| **o).count(), 1, "act {at}");
    }
}

#[test]
fn empty_and_oversized_chunks_end_the_session() {
    for size in [0, MAX_CHUNK + 1] {
        let mut pair = welcomed(Suite::ChaChaPoly);
        assert_eq!(
            pair.client.send_head(&vec![0; size]),
            Err(SessionError::Size)
        );
        let mut pair = welcomed(Suite::ChaChaPoly);
        pair.client.send_head(&ping()).unwrap();
        assert_eq!(
            pair.client.send_body(&vec![0; size]),
            Err(SessionError::Size)
        );
        assert_eq!(pair.client.close_request(), Err(SessionError::Over));
    }
}

#[test]
fn a_session_that_is_over_does_nothing_more() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let frame = pair.client.send_head(&ping()).unwrap();
    let id = *pair.server.id();
    assert!(pair.server.receive(&frame[1..]).is_err());
    assert!(pair.server.is_over() && !pair.server.is_my_turn());
    assert!(!pair.server.overdue(i64::MAX) && !pair.server.renewal_due(i64::MAX));
    assert_eq!(pair.server.receive(&frame), Err(SessionError::Over));
    assert_eq!(pair.server.send_head(&done()), Err(SessionError::Over));
    assert_eq!(pair.server.id(), &id);
}

#[test]
fn renewals_change_the_key_and_the_session_goes_on() {
    for suite in Suite::ALL {
        let mut pair = welcomed(suite);
        for round in 1..=3 {
            let now = NOW + round * 200;
            assert!(pair.client.renewal_due(now));
            pair.renew(now).unwrap();
            assert!(!pair.client.renewal_due(now + RENEW_AFTER - 1));
            assert!(pair.client.renewal_due(now + RENEW_AFTER));
            assert!(!pair.server.overdue(now + OVERDUE_AFTER));
            assert!(pair.server.overdue(now + OVERDUE_AFTER + 1));
            pair.exchange().unwrap();
        }
    }
}

#[test]
fn after_n_messages_only_a_renewal_is_served() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let mut messages = 1;
    while !pair.client.renewal_due(NOW) {
        pair.exchange().unwrap();
        messages += 2;
    }
    assert!((64..=1025).contains(&messages), "{messages}");
    pair.renew(NOW).unwrap();
    assert!(!pair.client.renewal_due(NOW));
    // now the client does not renew
    let exchanges = (0..1024).map(|_| (pair.client.renewal_due(NOW), pair.exchange()));
    let last = exchanges
        .into_iter()
        .find(|(_, exchange)| exchange.is_err());
    assert_eq!(last, Some((true, Err(SessionError::Overdue))));
    assert!(pair.server.is_over());
}

#[test]
fn a_late_renewal_is_still_served() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    while !pair.server.overdue(NOW) && !pair.client.renewal_due(NOW) {
        pair.exchange().unwrap();
    }
    assert!(pair.server.overdue(NOW + OVERDUE_AFTER + 1));
    pair.renew(NOW + 1000).unwrap();
    pair.exchange().unwrap();
}

#[test]
fn a_renewal_left_half_done_ends_the_session() {
    // the client asks to renew and then asks something else
    let mut pair = welcomed(Suite::ChaChaPoly);
    pair.client.renew(&mut OsRng).unwrap();
    pair.client.send_head(&ping()).unwrap();
    assert_eq!(pair.client.close_request(), Err(SessionError::Misused));

    // smrd makes an answer and then says something else
    let mut pair = welcomed(Suite::ChaChaPoly);
    let request = pair.client.renew(&mut OsRng).unwrap();
    let frames = pair.request(&request.encode().unwrap(), &[]);
    take(&mut pair.server, &frames).unwrap();
    pair.server.answer_renewal(&request, &mut OsRng).unwrap();
    pair.server.send_head(&done()).unwrap();
    let refused = pair.server.close_reply(&pair.keys, NOW);
    assert_eq!(refused, Err(SessionError::Misused));
}

#[test]
fn the_client_does_nothing_before_the_renewal_is_finished() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let request = pair.client.renew(&mut OsRng).unwrap();
    let frames = pair.request(&request.encode().unwrap(), &[]);
    take(&mut pair.server, &frames).unwrap();
    let reply = pair.server.answer_renewal(&request, &mut OsRng).unwrap();
    let frames = pair.reply(&reply.encode().unwrap(), &[]);
    take(&mut pair.client, &frames).unwrap();
    assert_eq!(pair.client.send_head(&ping()), Err(SessionError::Misused));
}

#[test]
fn a_renewal_takes_no_reply_but_its_own() {
    let answers: [fn(Reply) -> Reply; 2] = [
        |_| Reply::Done,
        |reply| match reply {
            Reply::Renewed { mut x25519, mlkem } => {
                x25519[0] ^= 1;
                Reply::Renewed { x25519, mlkem }
            }
            other => other,
        },
    ];
    for other in answers {
        let mut pair = welcomed(Suite::ChaChaPoly);
        let request = pair.client.renew(&mut OsRng).unwrap();
        let frames = pair.request(&request.encode().unwrap(), &[]);
        take(&mut pair.server, &frames).unwrap();
        let reply = pair.server.answer_renewal(&request, &mut OsRng).unwrap();
        let frames = pair.reply(&reply.encode().unwrap(), &[]);
        take(&mut pair.client, &frames).unwrap();
        let refused = pair.client.renewed(&other(reply), NOW);
        assert_eq!(refused, Err(SessionError::Renewal));
    }
}

#[test]
fn smrd_answers_only_the_renewal_it_was_asked() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let request = pair.client.renew(&mut OsRng).unwrap();
    let frames = pair.request(&request.encode().unwrap(), &[]);
    take(&mut pair.server, &frames).unwrap();
    let mut other = request;
    if let Request::Renew { x25519, .. } = &mut other {
        x25519[0] ^= 1;
    }
    let refused = pair.server.answer_renewal(&other, &mut OsRng);
    assert_eq!(refused.err(), Some(SessionError::Renewal));
}

#[test]
fn a_renewal_that_contributes_nothing_is_refused() {
    let mut pair = welcomed(Suite::ChaChaPoly);
    let (_, mlkem) = match pair.client.renew(&mut OsRng).unwrap() {
        Request::Renew { x25519, mlkem } => (x25519, mlkem),
        other => panic!("{other:?}"),
    };
    // another client, which draws no key of its own
    let mut pair = welcomed(Suite::ChaChaPoly);
    let hollow = Request::Renew {
        x25519: [0; 32],
        mlkem,
    };
    let frames = pair.request(&hollow.encode().unwrap(), &[]);
    take(&mut pair.server, &frames).unwrap();
    let refused = pair.server.answer_renewal(&hollow, &mut OsRng);
    assert_eq!(refused.err(), Some(SessionError::Renewal));
    assert!(pair.server.is_over());
}

#[test]
fn events_come_one_by_one() {
    let mut pair = welcomed(Suite::AesGcm);
    let frames = pair.request(&ping(), &[b"part"]);
    let server = &mut pair.server;
    assert_eq!(server.receive(&frames[0]), Ok(Event::Head(ping())));
    assert!(!server.is_my_turn());
    assert_eq!(
        server.receive(&frames[1]),
        Ok(Event::Body(b"part".to_vec()))
    );
    assert_eq!(server.receive(&frames[2]), Ok(Event::Close(None)));
    assert!(server.is_my_turn());
}
